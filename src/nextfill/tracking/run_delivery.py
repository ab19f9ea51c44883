"""A run that is sent to trackers by itself, finished or growing."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from nextfill.config import TrackConfig
from nextfill.config.settings.tracking_settings import tracker_names
from nextfill.core.amounts import amount
from nextfill.core.errors import ConfigError
from nextfill.runs.directory import RunDirectory
from nextfill.runs.reader import read_run
from nextfill.tracking.delivery import Delivery
from nextfill.tracking.follower import EVERY_S
from nextfill.tracking.trackers import check_trackers, make_store


def send_run(
    run: str | Path, config: TrackConfig, on_note: Callable[[str], None]
) -> dict[str, dict[str, int | str]]:
    """Send what each tracker lacks of a run, with ``follow`` until it ends.

    Returns:
        By tracker the number of ``points`` that were sent now, and ``place``, where they are.
    """
    facts = read_run(run)
    recorded = facts.config.get("tracking", {})
    names = tracker_names(config.trackers or recorded.get("to"))
    if not names:
        raise ConfigError(
            ["track: say where to: --trackers tensorboard, trackio, wandb or mlflow."]
        )
    check_trackers(names)
    directory = RunDirectory(facts.path)
    deliveries = {
        name: Delivery(directory, name, make_store(name, directory), samples=config.samples)
        for name in names
    }
    points = dict.fromkeys(names, 0)
    try:
        _send(directory, deliveries, points, follow=config.follow, on_note=on_note)
    finally:
        places = {name: delivery.close() for name, delivery in deliveries.items()}
    return {name: {"points": points[name], "place": places[name]} for name in names}


def _send(
    run: RunDirectory,
    deliveries: dict[str, Delivery],
    points: dict[str, int],
    *,
    follow: bool,
    on_note: Callable[[str], None],
) -> None:
    if follow and not run.is_under_way():
        on_note(f"{run.path} is not under way: what it has is sent")
    while True:
        goes_on = follow and run.is_under_way()  # looked at before the events are read
        for name, delivery in deliveries.items():
            points[name] += delivery.update()
        if not goes_on:
            break
        time.sleep(EVERY_S)
    for name, delivery in deliveries.items():
        points[name] += delivery.bring_in_line()


def lines_of(sent: Mapping[str, Mapping[str, int | str]]) -> Sequence[str]:
    """Return a line on each tracker for a person.

    Example:
        >>> lines_of({"wandb": {"points": 1, "place": "wandb sync wandb/x"}})
        ['wandb: 1 point; wandb sync wandb/x']
    """
    return [
        f"{name}: {amount(int(one['points']), 'point')}; {one['place']}"
        for name, one in sent.items()
    ]
