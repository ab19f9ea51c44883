"""The end of a run's events, read as it grows, and from its start again where it was cut back."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from nextfill.core.errors import RunError
from nextfill.runs.directory import RunDirectory
from nextfill.tracking.points import KINDS


@dataclass(frozen=True)
class NumberedEvent:
    """An event that has points.

    Args:
        number: Its place among those, from 1.
        digest: Checksum of the lines of all of them up to this one.
    """

    number: int
    digest: str
    event: dict[str, Any]


class EventTail:
    """The events that have points, each once until the file is cut back.

    Going back to a checkpoint cuts the file, and it may have grown past its old size before it is
    read again: the line that was read last is then another, or stands elsewhere.
    """

    def __init__(self, run: RunDirectory) -> None:
        self._path = run.events
        self.rewind()

    def rewind(self) -> None:
        """Read from the start next time."""
        self._offset, self._last, self.number = 0, b"", 0
        self._digest = hashlib.sha256()

    def read(self) -> list[NumberedEvent]:
        """Return the events that came since, whose number begins at 1 after the file was cut."""
        if not self._path.is_file():
            self.rewind()
            return []
        with self._path.open("rb") as file:
            file.seek(self._offset - len(self._last))
            if file.read(len(self._last)) != self._last:
                self.rewind()
                file.seek(0)
            found = file.read()
        lines = found[: found.rfind(b"\n") + 1].splitlines(keepends=True)
        events = [self._numbered(line) for line in lines]
        return [event for event in events if event is not None]

    def _numbered(self, line: bytes) -> NumberedEvent | None:
        place = self._offset
        self._offset, self._last = place + len(line), line
        try:
            event = json.loads(line)
        except ValueError as error:
            raise RunError(f"{self._path} is damaged at byte {place:,}: {error}.") from error
        if not isinstance(event, dict):
            raise RunError(f"{self._path} is damaged at byte {place:,}: expected an object.")
        event.pop("checksum", None)
        if event.get("event") not in KINDS:
            return None
        self.number += 1
        self._digest.update(line)
        return NumberedEvent(self.number, self._digest.hexdigest(), event)
