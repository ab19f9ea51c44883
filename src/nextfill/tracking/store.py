"""What a tracker's store has to do, and the record of what was sent to it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

from nextfill.runs.directory import RunDirectory, write_json
from nextfill.tracking.points import Point, Text

PROJECT = "nextfill"
"""Name of the project, or the experiment, that runs are in."""

Settings = Mapping[str, str | int | float | bool]


class Store(Protocol):
    """A run in the store of a tracker.

    Its calls come from one thread, one after the other. What `send` was given is there for good
    when it returns, as far as the library can tell.
    """

    def begin(self, settings: Settings, replaced: str | None) -> str:
        """Begin a run, in the place of one whose points hold no more; return its name there."""

    def go_on(self, name: str) -> bool:
        """Go on with a run of that name; tell whether it is there and can be added to."""

    def send(self, points: Sequence[Point], texts: Sequence[Text]) -> None:
        """Add points and texts, in the order of their steps."""

    def close(self, *, finished: bool) -> str:
        """End the session, and return in a few words where the points are."""


@dataclass(frozen=True)
class SentRecord:
    """What a store has of a run.

    Args:
        name: The run's name there; None where it has none yet.
        events: Events whose points it has.
        digest: Checksum of their lines.
        sending: Whether a sending began whose end is not known.
    """

    name: str | None = None
    events: int = 0
    digest: str = ""
    sending: bool = False


def record_file(run: RunDirectory, tracker: str) -> Path:
    """Return the file of the record of a tracker."""
    return run.path / "tracking" / f"{tracker}.json"


def read_sent(path: Path) -> SentRecord:
    """Return the record; an empty one where there is none, or where it is damaged."""
    try:
        found = json.loads(path.read_bytes())
        record = SentRecord(**found)
    except (OSError, ValueError, TypeError):
        return SentRecord()
    kinds = (isinstance(record.events, int), isinstance(record.digest, str))
    return record if all(kinds) else SentRecord()


def write_sent(path: Path, record: SentRecord) -> None:
    """Write the record whole or not at all."""
    path.parent.mkdir(exist_ok=True)
    write_json(path, asdict(record))


def by_step(points: Sequence[Point], texts: Sequence[Text]) -> dict[int, dict[str, float | str]]:
    """Return a row of all values for each step, in the order of the steps.

    Example:
        >>> by_step([Point("a", 2, 1.0), Point("a", 1, 0.5), Point("b", 2, 3.0)], [])
        {1: {'a': 0.5}, 2: {'a': 1.0, 'b': 3.0}}
    """
    rows: dict[int, dict[str, float | str]] = {}
    for point in points:
        rows.setdefault(point.step, {})[point.name] = point.value
    for text in texts:
        rows.setdefault(text.step, {})[text.name] = text.text
    return dict(sorted(rows.items()))
