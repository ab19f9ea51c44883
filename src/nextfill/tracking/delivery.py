"""The points of one run on their way to one store, each once.

The record of what was sent is written before and after each sending. So a killed run that goes on
sends what comes next; and where that is not certain, because a sending was cut short or the run
went back to a checkpoint and took other steps from there, the store's run is begun anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from nextfill.runs.directory import RunDirectory
from nextfill.tracking.event_tail import EventTail, NumberedEvent
from nextfill.tracking.points import points_of, settings_of_run, text_of
from nextfill.tracking.store import SentRecord, Store, read_sent, record_file, write_sent

MOST_EVENTS = 2_000
"""Events of one sending."""


class Delivery:
    """Sends a run's points to a store.

    Args:
        run: The run.
        tracker: Name of the tracker.
        store: Its store.
        samples: Whether the texts of samples are sent, too.
    """

    def __init__(self, run: RunDirectory, tracker: str, store: Store, *, samples: bool) -> None:
        self._run, self._store, self._samples = run, store, samples
        self._path = record_file(run, tracker)
        self._tail = EventTail(run)
        self._record: SentRecord | None = None

    def update(self) -> int:
        """Send what the store lacks, and return the number of points that were sent."""
        record = self._begun()
        waiting: list[NumberedEvent] = []
        for event in self._tail.read():
            if event.number == record.events and event.digest != record.digest:
                self._begin_anew()
                return self.update()
            if event.number > record.events:
                waiting.append(event)
        return sum(
            self._send(waiting[at : at + MOST_EVENTS]) for at in range(0, len(waiting), MOST_EVENTS)
        )

    def bring_in_line(self) -> int:
        """Begin the store's run anew if it has points past the end of the run's events."""
        if self._record is None or self._tail.number >= self._record.events:
            return 0
        self._begin_anew()
        return self.update()

    def close(self) -> str:
        """End the session, and return where the points are."""
        if self._record is None:
            return ""
        return self._store.close(finished=bool(self._run.read_events("end")))

    def _begun(self) -> SentRecord:
        if self._record is None:
            record = read_sent(self._path)
            if record.name is not None and not record.sending and self._store.go_on(record.name):
                self._record = record
            else:
                self._begin(record.name)
        assert self._record is not None  # noqa: S101 - for the type checker
        return self._record

    def _begin_anew(self) -> None:
        self._begin(None if self._record is None else self._record.name)

    def _begin(self, replaced: str | None) -> None:
        name = self._store.begin(settings_of_run(self._run), replaced)
        self._write(SentRecord(name))
        self._tail.rewind()

    def _send(self, events: Sequence[NumberedEvent]) -> int:
        points = [point for one in events for point in points_of(one.event)]
        texts = [text for one in events if self._samples and (text := text_of(one.event))]
        assert self._record is not None  # noqa: S101 - for the type checker
        self._write(replace(self._record, sending=True))
        self._store.send(points, texts)
        last = events[-1]
        self._write(SentRecord(self._record.name, last.number, last.digest))
        return len(points)

    def _write(self, record: SentRecord) -> None:
        write_sent(self._path, record)
        self._record = record
