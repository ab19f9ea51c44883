"""The verb `track`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nextfill.api.verb import keyword_settings, request_at_level, request_of
from nextfill.config import TrackConfig
from nextfill.config.layers import build
from nextfill.config.resolve import refuse
from nextfill.config.settings.tracking_settings import tracker_problems
from nextfill.core.locks import check_one_process
from nextfill.terminal.log_level import shown_by_level
from nextfill.terminal.notebook import choose_observer


@keyword_settings(TrackConfig)
def track(run: str | Path, **keywords: Any) -> dict[str, dict[str, int | str]]:
    """Send the curves of a run, finished or growing, to trackers.

    Each tracker gets each point of the run's ``events.jsonl`` once, however often it is asked for;
    where the run has gone back to a checkpoint and took other steps from there, it gets the run
    anew.

    Args:
        run: The run directory.
        **keywords: ``to``: tensorboard, trackio, wandb or mlflow, joined by commas, or a list of
            them; default: those that the run was trained with. ``samples``: send the texts of
            samples, too. ``follow``: go on until the run ends, or Ctrl-C. ``log_level``: what to
            tell on stderr, as in `train`.

    Returns:
        By tracker the number of ``points`` that were sent now, and ``place``, where they are.

    Raises:
        ConfigError: If there is no such tracker, or its library is not installed.
        RunError: If there is no run, or a file of it is damaged.
    """
    observer = choose_observer(quiet=not shown_by_level(keywords))
    request = request_of(TrackConfig, keywords, observer)
    check_one_process("send the run")
    config = build(TrackConfig, [request.settings], request.problems)
    refuse([*tracker_problems(config.trackers, "--trackers")])
    request = request_at_level(request, config.log_level)
    from nextfill.tracking.run_delivery import send_run

    try:
        return send_run(run, config, request.observer.on_note)
    finally:
        request.observer.on_end()
