"""The verb `evaluate` as one of several ranks: silent and without files unless it is the first."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from nextfill.api.verb import Request
from nextfill.config import EvaluateConfig
from nextfill.config.evaluation_resolution import evaluate_config
from nextfill.config.options import Assignment
from nextfill.config.problems.rank_problems import evaluation_problems
from nextfill.config.resolve import refuse
from nextfill.core.progress import Silent
from nextfill.training.distributed.rank_environment import LaunchedRank, launched_rank

if TYPE_CHECKING:
    from nextfill.config import Scope
    from nextfill.evaluation.batch_division import BatchDivision

R = TypeVar("R")


@dataclass(frozen=True)
class RankEvaluation:
    """The part of one rank in an evaluation.

    Args:
        place: Its place among the others.
        division: What it reads of the documents.
    """

    place: LaunchedRank
    division: BatchDivision

    def checked(self, config: EvaluateConfig) -> EvaluateConfig:
        """Return the settings as this rank has them: the first one alone writes files."""
        from nextfill.training.distributed.process_group import check_gpus

        if config.device in ("auto", "cuda"):
            check_gpus(self.place)
        return config if self.place.rank == 0 else replace(config, out=None, page=None)


def evaluate_as_rank(
    place: LaunchedRank, evaluate: Callable[[Request, RankEvaluation], R], request: Request
) -> R:
    """Evaluate as one of several ranks, each of which has the result."""
    from nextfill.training.distributed.process_group import joined_ranks
    from nextfill.training.distributed.rank_reading import RankDivision
    from nextfill.training.distributed.rank_task import EVALUATION

    if place.rank:
        request = replace(request, observer=Silent())
        logging.getLogger("nextfill").setLevel(logging.CRITICAL)
    with joined_ranks(place, EVALUATION) as (ranks, _):
        division = RankDivision(ranks)
        result = evaluate(request, RankEvaluation(place, division))
        division.end()
        return result


def rank_of(request: Request) -> LaunchedRank | None:
    """Return the place of this process in an evaluation; None where it evaluates by itself.

    That is also where it is one of several that cannot find one another, and with ``--nproc 1``.
    """
    asked = [str(item.value).strip() for item in request.settings if item.path == ("nproc",)]
    return None if asked == ["1"] else launched_rank(may_be_alone=True)


def resolved_by(
    request: Request, names: Sequence[str], world: int
) -> Callable[[Sequence[Assignment]], tuple[EvaluateConfig, Scope]]:
    """Return what makes the settings of an evaluation by so many processes, and its scope."""

    def make(layer: Sequence[Assignment]) -> tuple[EvaluateConfig, Scope]:
        config, scope = evaluate_config(layer, request.problems, names)
        if world > 1:  # before standard input is read, by one of them
            refuse([*evaluation_problems(config, world)])
        return config, scope

    return make
