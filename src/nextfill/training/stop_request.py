"""The end of a run before its last step: on request, by Ctrl-C or a signal, or by an error."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from nextfill.core.errors import NextfillError, RunError
from nextfill.core.shell_command import shell_command
from nextfill.core.signals import SIGNALS, interrupt, is_new
from nextfill.runs.directory import RunDirectory
from nextfill.training.checkpoint import newest_step

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


@contextmanager
def saved_before_an_error(run: RunDirectory, step: int, save: Callable[[], None]) -> Iterator[None]:
    """Save the state before an error of the source, or a Ctrl-C, ends the wait for more of it."""
    try:
        yield
    except (NextfillError, KeyboardInterrupt) as error:
        if newest_step(run.checkpoints) < step:
            save()
        if isinstance(error, KeyboardInterrupt) or not step:
            raise
        raise RunError(
            f"{error} The run is saved at step {step}; once the data can be read, go on with: "
            f"{shell_command('train', '--out', run.path, '--resume')}"
        ) from error
