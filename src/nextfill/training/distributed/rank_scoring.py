"""Evaluation by all ranks: each scores some whole documents, and every rank has all scores.

A sample is one text, whose tokens follow from one another, so that one rank makes it: the last,
which has fewer documents to score for it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nextfill.core.errors import NextfillError
from nextfill.core.progress import Progress
from nextfill.data.parts import Part
from nextfill.evaluation.scorer import join_groups, part_groups
from nextfill.evaluation.scores import ScoredGroup
from nextfill.models.libraries import REFUSALS
from nextfill.training.distributed.ranks import ALONE, Command, Kind, Ranks
from nextfill.training.samples import Sample, make_sample
from nextfill.training.setup import Setup

SAMPLE_AS_SCORED = 600
"""Scored tokens that take about as long as a sample, of models of 3 to 82 million parameters."""


@dataclass(frozen=True)
class Work:
    """What the ranks do beside scoring a part, or otherwise.

    Args:
        by_teacher: Whether the teacher scores it.
        samples: Whether the last rank makes a sample, too.
    """

    by_teacher: bool = False
    samples: bool = False


SCORING = Work()


def score(
    setup: Setup, part: Part, label: str, on_stage: Progress, work: Work, *, alone: bool
) -> tuple[ScoredGroup, Sample | None]:
    """Score a part with the run's model, or with its teacher, and make a sample meanwhile.

    Args:
        setup: The run.
        part: One of its parts that are evaluated.
        label: The stage, in words.
        on_stage: Is told of the rows of this rank.
        work: What else there is to do.
        alone: Whether this rank scores it all by itself, as while no other waits for it.

    Returns:
        The scores, and the sample. That is None where none was asked for, where this rank is alone,
        which makes it afterwards, and where the rank that was to make it could not.
    """
    ranks = ALONE if alone else setup.ranks
    if ranks.world > 1:
        which = next(at for at, one in enumerate(scored_parts(setup)) if one is part)
        ranks.command(Command(Kind.SCORE, about=(which, work)))
    return take_part(setup, ranks, part, label, on_stage, work=work)


def take_part(
    setup: Setup, ranks: Ranks, part: Part, label: str, on_stage: Progress, *, work: Work
) -> tuple[ScoredGroup, Sample | None]:
    """Score this rank's share of a part, and return the scores of all shares and the sample."""
    model = setup if setup.teacher is None or not work.by_teacher else setup.teacher
    makes_sample = work.samples and ranks.world > 1
    share = share_of(part, ranks.rank, ranks.world, SAMPLE_AS_SCORED if makes_sample else 0)
    groups: list[ScoredGroup] = []
    if len(share.documents):
        groups = part_groups(
            model.module,
            model.loaded,
            share,
            block_size=setup.plan.block_size,
            evaluation=setup.config.evaluation,
            masking=setup.config.masking,
            precision="fp32",  # so that the figure is the one `evaluate` gives
            on_progress=lambda done, total: on_stage(label, done, total),
        )
    is_last = ranks.rank == ranks.world - 1
    found = ranks.gather((groups, _sample(setup) if makes_sample and is_last else None))
    return join_groups([one for of_rank, _ in found for one in of_rank]), found[-1][1]


def _sample(setup: Setup) -> Sample | None:
    """Make a sample; None where the model cannot, which the first rank finds and tells itself."""
    try:
        return make_sample(setup.loaded, setup.config, setup.prepared.held_out)
    except (NextfillError, *REFUSALS):
        return None


def scored_parts(setup: Setup) -> list[Part]:
    """Return all parts that are scored during a run, in an order that all ranks have."""
    prepared = setup.prepared
    found = [prepared.held_out, *prepared.sets.values()]
    return found if prepared.validation is None else [*found, prepared.validation]


def share_of(part: Part, rank: int, world: int, of_last: int = 0) -> Part:
    """Return the documents of a part that a rank scores: as many tokens as any other, in order.

    The last rank has ``of_last`` tokens less, for what else it has to do, or none.
    """
    if world == 1:
        return part
    before = np.cumsum(part.lengths + 1) - 1
    whole = before[-1] + of_last if len(before) else 0
    limits = whole * np.arange(world + 1) / world
    first, stop = np.searchsorted(before, limits[rank : rank + 2]).tolist()
    first, stop = (first if rank else 0), (stop if rank < world - 1 else len(before))
    return Part(part.store, part.documents[first:stop])
