"""The command that sends a run to trackers."""

from __future__ import annotations

from typing import Any

from nextfill.cli.commands import JSON, QUIET, Command, from_tables, observer_of, request
from nextfill.config import TrackConfig
from nextfill.config.command_line.flags import Argument, CommandLine

TRACKED_RUN = Argument("run", "run directory, finished or not")


def _run_track(line: CommandLine) -> Any:
    from nextfill.api.track import track

    return track(line.arguments.run, request=request(line, observer=observer_of(line)))


TRACK = Command(
    "Send a run's curves to TensorBoard, Trackio, Weights & Biases or MLflow.",
    TrackConfig,
    (TRACKED_RUN, QUIET, JSON),
    _run_track,
    from_tables("show_sent_points"),
)
