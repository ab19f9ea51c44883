"""Trackers that follow a run under way, each in a thread that training never waits for.

They read the run's events from its file, as any other program could, and know nothing of training.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import partial

from nextfill.core.background import Background, BackgroundCall
from nextfill.core.url_redaction import without_secrets
from nextfill.runs.directory import RunDirectory
from nextfill.tracking.delivery import Delivery
from nextfill.tracking.trackers import make_store

EVERY_S = 1.0
"""Seconds between two readings of the events."""

LAST_S = 60.0
"""Most seconds that the end of a run waits for what its trackers have still to send."""


class Follower:
    """Sends a run's events to trackers until it is told that the run is over.

    Args:
        run: The run.
        names: The trackers.
        samples: Whether texts are sent, too.
        on_note: Is told at the end where the points are.
        on_failure: Is told once of each tracker that fails.
    """

    def __init__(
        self,
        run: RunDirectory,
        names: Sequence[str],
        *,
        samples: bool,
        on_note: Callable[[str], None],
        on_failure: Callable[[str], None],
    ) -> None:
        self._on_note, self._on_failure, self._over = on_note, on_failure, threading.Event()
        self._threads = {name: Background() for name in names}
        self._calls = {
            name: thread.begin(partial(self._follow, run, name, samples))
            for name, thread in self._threads.items()
        }

    def _follow(self, run: RunDirectory, name: str, samples: bool) -> str:
        delivery = Delivery(run, name, make_store(name, run), samples=samples)
        while True:
            is_last = self._over.wait(EVERY_S)
            delivery.update()
            if is_last:
                if run.read_events("end"):
                    delivery.bring_in_line()
                return delivery.close()

    def note_failures(self) -> None:
        """Note the trackers that failed since, once each."""
        for name, call in [*self._calls.items()]:
            if call.is_done:
                self._note(name, self._calls.pop(name))

    def end(self) -> None:
        """Send the rest, and note where the points are."""
        self._over.set()
        for name, call in [*self._calls.items()]:
            if call.wait(LAST_S):
                self._note(name, self._calls.pop(name))
            else:
                self._on_failure(
                    f"{name} has not answered for {LAST_S:.0f} seconds and is left; "
                    f"the run goes on without it"
                )

    def _note(self, name: str, call: BackgroundCall[str]) -> None:
        self._threads.pop(name).leave()
        error = call.error
        if error is None:
            self._on_note(f"{name}: {call.result()}")
        else:
            self._on_failure(failure(name, error))


def failure(name: str, error: BaseException) -> str:
    """Return a note on a tracker that failed, without the secrets that its message may hold."""
    words = " ".join(str(error).split())[:300]
    told = f"{type(error).__name__}: {words}" if words else type(error).__name__
    return f"{name} failed and gets no more points; the run is not touched: {without_secrets(told)}"
