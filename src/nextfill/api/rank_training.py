"""The verb `train` as one of several ranks: silent unless it is the first, and started again."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nextfill.api.verb import Request
from nextfill.config import TrainConfig
from nextfill.config.options import Assignment
from nextfill.config.problems.rank_problems import for_ranks
from nextfill.config.recipe_file import CONFIG
from nextfill.config.resumption import OF_NO_RUN, resumed_config
from nextfill.config.settings.command_settings import Parallel
from nextfill.core.progress import Silent
from nextfill.training.distributed.rank_environment import LaunchedRank

if TYPE_CHECKING:
    from nextfill.runs.results import TrainResult
    from nextfill.training.distributed.process_group import Meeting
    from nextfill.training.distributed.ranks import ManyRanks
    from nextfill.training.loop import Engine

Make = Callable[[Sequence[Assignment]], TrainConfig]


@dataclass(frozen=True)
class RankTraining:
    """The part of one rank in a training.

    Args:
        place: Its place among the others.
        ranks: All of them.
        meeting: The store that they met at.
    """

    place: LaunchedRank
    ranks: ManyRanks
    meeting: Meeting

    def checked(self, config: TrainConfig, *, is_resumed: bool) -> TrainConfig:
        """Return the settings of a training by several ranks; refuse those that cannot be."""
        from nextfill.training.distributed.process_group import check_gpus

        if config.device in ("auto", "cuda"):
            check_gpus(self.place)
        return for_ranks(config, self.ranks.world, is_resumed=is_resumed)

    def engine(self, engine: Engine, parallel: Parallel | None) -> Engine:
        """Return what takes the steps: with the whole model on each rank, or a share of it."""
        if parallel != "fsdp":
            return engine
        from nextfill.training.distributed.sharded_engine import SHARDED

        self.ranks.has_shares = True
        return SHARDED

    def on_directory(self, path: Path) -> None:
        """Keep the run's directory for errors, and for ranks that are started again."""
        self.ranks.run = str(path)
        self.meeting.run = str(path)


def train_as_rank(
    place: LaunchedRank,
    train: Callable[..., TrainResult],
    request: Request,
    make: Make,
    advise: Callable[[str], None],
    *,
    resume: bool,
    rewarm: bool,
) -> TrainResult:
    """Train as one of several ranks.

    Ranks that their launcher has started again go on with the run that they had begun.
    """
    from nextfill.training.distributed.process_group import joined_ranks

    if place.rank:
        request = replace(request, observer=Silent())
        logging.getLogger("nextfill").setLevel(logging.CRITICAL)
    with joined_ranks(place) as (ranks, meeting):
        launch = RankTraining(place, ranks, meeting)
        restarted = any(ranks.gather(place.restart))  # each machine's launcher counts its own
        begun = ranks.share(_begun(meeting, request, restarted=restarted))
        if begun is not None:
            make, resume, rewarm = _going_on(request, begun), True, False
        return train(request, make, advise, resume=resume, rewarm=rewarm, launch=launch)


def _begun(meeting: Meeting, request: Request, *, restarted: bool) -> str | None:
    """Return the run that these ranks began before they were started again, if there is one.

    They had begun with a folder that was free: what is in it now is theirs.
    """
    if (known := meeting.run) is not None or not restarted:
        return known
    named = [str(item.value) for item in request.settings if item.path == ("out",)]
    return named[0] if named and (Path(named[0]) / CONFIG).is_file() else None


def _going_on(request: Request, run: str) -> Make:
    """Return what makes the settings of a run that is gone on with, whatever was typed for it."""
    kept: Any = {*OF_NO_RUN, ("cache_dir",)}

    def make(layer: Sequence[Assignment]) -> TrainConfig:
        some = [
            item for item in layer if item.path in kept or item.path[0] in ("share", "tracking")
        ]
        out = Assignment(("out",), run, "--out")
        return resumed_config(None, [*some, out], request.problems)

    return make
