"""The events and timings of a run's steps, written once their figures are there."""

from __future__ import annotations

from nextfill.core.progress import Observer
from nextfill.runs.directory import RunDirectory
from nextfill.training.step_figures import ReadStep


class StepLog:
    """The steps of a run that are taken, of which a GPU may still be at the newest.

    Args:
        run: Gets the events and the timings.
        observer: Is told of each.
    """

    def __init__(self, run: RunDirectory, observer: Observer) -> None:
        self._run, self._observer = run, observer
        self._waiting: list[tuple[int, int, ReadStep]] = []

    def add(self, step: int, blocks: int, read: ReadStep, *, is_late: bool) -> None:
        """Add a step and write those before it, and itself unless it is to be read late.

        Args:
            step: Its number, from 1.
            blocks: Those that were consumed by its end.
            read: Reads its figures.
            is_late: Whether it is read after the next one has begun, or before anything is saved.
        """
        self._waiting.append((step, blocks, read))
        self._write(kept=int(is_late))

    def write(self) -> None:
        """Write all steps, and end a run that diverged at one of them.

        Whatever is saved or evaluated, or has its own place among the events, comes after it.
        """
        self._write(kept=0)

    def _write(self, kept: int) -> None:
        while len(self._waiting) > kept:
            step, blocks, read = self._waiting.pop(0)
            figures, time = read()
            event = {"event": "step", "step": step, "blocks": blocks, **figures}
            timing = {"step": step, **time}
            self._run.append_event(event)
            self._run.append_timing(timing)
            self._observer.on_step(event, timing)
