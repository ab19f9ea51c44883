"""The verb `train` as one of several ranks: silent unless it is the first, and started again."""

from __future__ import annotations

import json
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
from nextfill.training.distributed.rank_environment import LaunchedRank, launcher_name

if TYPE_CHECKING:
    from nextfill.runs.results import TrainResult
    from nextfill.training.distributed.process_group import Meeting
    from nextfill.training.distributed.ranks import ManyRanks
    from nextfill.training.engine import Engine

LAUNCHERS = "launchers.json"
"""The file of a run that is under way, with the names of the processes that started its ranks."""

Make = Callable[[Sequence[Assignment]], TrainConfig]


@dataclass(frozen=True)
class RankTraining:
    """The part of one rank in a training.

    Args:
        place: Its place among the others.
        ranks: All of them.
        meeting: The store that they met at.
        launchers: The names of the processes that started them.
    """

    place: LaunchedRank
    ranks: ManyRanks
    meeting: Meeting
    launchers: list[str]

    def checked(self, config: TrainConfig, *, is_resumed: bool) -> TrainConfig:
        """Return the settings of a training by several ranks; refuse those that cannot be."""
        from nextfill.training.distributed.process_group import check_gpus

        if config.device in ("auto", "cuda"):
            check_gpus(self.place)
        return for_ranks(config, self.ranks.world, is_resumed=is_resumed)

    def engine(self, engine: Engine, parallel: Parallel | None) -> Engine:
        """Return what takes the steps: with the whole model on each rank, or a share of it."""
        if parallel == "ddp":
            return engine
        from nextfill.training.distributed.sharded_engine import SHARDED, by_size

        if parallel != "fsdp":
            self.ranks.chooses = True
            return by_size(engine)
        self.ranks.has_shares = True
        return SHARDED

    def on_directory(self, path: Path) -> None:
        """Keep the run's directory for errors, and for ranks that are started again."""
        self.ranks.run = str(path)
        self.meeting.run = str(path)
        if self.ranks.is_first:
            (path / LAUNCHERS).write_text(json.dumps(self.launchers), "utf-8")


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
        starts = ranks.gather((launcher_name(), place.restart))
        launchers = sorted({name for name, _ in starts if name})
        launch = RankTraining(place, ranks, meeting, launchers)
        restarted = any(restart for _, restart in starts)  # each machine's launcher counts its own
        begun = ranks.share(_begun(meeting, request, launchers, restarted=restarted))
        if begun is not None:
            make, resume, rewarm = _going_on(request, begun), True, False
        result = train(request, make, advise, resume=resume, rewarm=rewarm, launch=launch)
        if ranks.is_first and ranks.run is not None:
            (Path(ranks.run) / LAUNCHERS).unlink(missing_ok=True)
        return result


def _begun(
    meeting: Meeting, request: Request, launchers: Sequence[str], *, restarted: bool
) -> str | None:
    """Return the run that these ranks began before they were started again, if there is one.

    They had begun with a folder that was free: what is in it now is theirs. A launcher whose own
    ranks were well counts no restart when another machine joins again, and the store may be new:
    the run's folder names those who began it.
    """
    if (known := meeting.run) is not None:
        return known
    named = [Path(str(item.value)) for item in request.settings if item.path == ("out",)]
    if not named or not (named[0] / CONFIG).is_file():
        return None
    try:
        before = json.loads((named[0] / LAUNCHERS).read_bytes())
    except (FileNotFoundError, ValueError):
        before = []
    return str(named[0]) if restarted or {*launchers} & {*before} else None


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
