"""The request to stop a run, by Ctrl-C or a signal: after the step in hand, or at once."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from nextfill.core.signals import SIGNALS, interrupt, is_new

SAVING = b"\nnextfill: finishing the step and saving; press again to stop at once.\n"


class StopRequest:
    """A request to stop by the user, after the step in hand or at once."""

    def __init__(self) -> None:
        self.requested = False
        self._at_once = False

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Let a request end a block that has nothing to lose, with KeyboardInterrupt."""
        self._at_once = True
        try:
            if self.requested:
                raise KeyboardInterrupt
            yield
        finally:
            self._at_once = False

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal."""
        if self._at_once or self.requested:
            interrupt(number, frame)
        elif is_new(number):
            self.requested = True
            with suppress(OSError):  # of a terminal that is gone, which is why the signal came
                os.write(2, SAVING)  # not print, which may be in the middle of a line


@contextmanager
def stop_request() -> Iterator[StopRequest]:
    """Let the first Ctrl-C, SIGTERM or SIGHUP finish the step in hand; a second stops at once.

    One that is ignored stays so, as SIGHUP under ``nohup`` and Ctrl-C in the background.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}
    before = {number: one for number, one in before.items() if one not in (signal.SIG_IGN, None)}
    for number in before:
        signal.signal(number, request.handle)
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
