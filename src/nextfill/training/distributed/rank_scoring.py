"""Evaluation by all ranks: each scores some whole documents, and every rank has all scores."""

from __future__ import annotations

import numpy as np

from nextfill.core.progress import Progress
from nextfill.data.parts import Part
from nextfill.evaluation.scorer import join_groups, part_groups
from nextfill.evaluation.scores import ScoredGroup
from nextfill.training.distributed.ranks import ALONE, Command, Kind, Ranks
from nextfill.training.setup import Setup


def score(
    setup: Setup, part: Part, label: str, on_stage: Progress, *, by_teacher: bool, alone: bool
) -> ScoredGroup:
    """Score a part with the run's model, or with its teacher.

    Args:
        setup: The run.
        part: One of its parts that are evaluated.
        label: The stage, in words.
        on_stage: Is told of the rows of this rank.
        by_teacher: Whether the teacher scores it.
        alone: Whether this rank scores it all by itself, as while no other waits for it.
    """
    ranks = ALONE if alone else setup.ranks
    if ranks.world > 1:
        which = next(at for at, one in enumerate(scored_parts(setup)) if one is part)
        ranks.command(Command(Kind.SCORE, about=(which, by_teacher)))
    return take_part(setup, ranks, part, label, on_stage, by_teacher=by_teacher)


def take_part(
    setup: Setup, ranks: Ranks, part: Part, label: str, on_stage: Progress, *, by_teacher: bool
) -> ScoredGroup:
    """Score this rank's share of a part, and return the scores of all shares."""
    model = setup if setup.teacher is None or not by_teacher else setup.teacher
    share = share_of(part, ranks.rank, ranks.world)
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
    return join_groups([one for of_rank in ranks.gather(groups) for one in of_rank])


def scored_parts(setup: Setup) -> list[Part]:
    """Return all parts that are scored during a run, in an order that all ranks have."""
    prepared = setup.prepared
    found = [prepared.held_out, *prepared.sets.values()]
    return found if prepared.validation is None else [*found, prepared.validation]


def share_of(part: Part, rank: int, world: int) -> Part:
    """Return the documents of a part that a rank scores: as many tokens as any other, in order."""
    if world == 1:
        return part
    before = np.cumsum(part.lengths + 1) - 1
    limits = before[-1] * np.arange(world + 1) / world if len(before) else np.zeros(world + 1)
    first, stop = np.searchsorted(before, limits[rank : rank + 2]).tolist()
    first, stop = (first if rank else 0), (stop if rank < world - 1 else len(before))
    return Part(part.store, part.documents[first:stop])
