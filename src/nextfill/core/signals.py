"""Ctrl-C, SIGTERM and SIGHUP, which stop what is done in the same way, and none is lost.

Python swallows what is raised inside a finalizer (``__del__``), an interrupt as well: a run that
was told to stop would go on, with a traceback on the terminal. There the interrupt waits. Signals
that follow one another at once are one: a terminal that closes sends several, and what is tidied up
after the first must not be cut off by the next.
"""

from __future__ import annotations

import atexit
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn

AGAIN_S = 0.02
"""After so long an interrupt that fell into a finalizer comes again."""

SAME_S = 0.5
"""Signals within so long of one that was heeded say the same."""

SIGNALS = tuple(
    signal.Signals[name] for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
_USUAL = (signal.default_int_handler, signal.SIG_DFL)
_FIRST_STATUS = 128
"""What shells add a signal's number to, for the exit status of what it has ended."""


class _Heard:
    """The signal that was heeded last: its number, and when it came."""

    number = int(signal.SIGINT)
    at_s = -math.inf
    over = False


def is_new(number: int) -> bool:
    """Take note of a signal; say whether it is one to heed, and not the last one once more."""
    if _Heard.over or time.monotonic() - _Heard.at_s < SAME_S:
        return False
    _Heard.number, _Heard.at_s = number, time.monotonic()
    return True


def exit_status() -> int:
    """Return the exit status of a program that was stopped: 130, 143 or 129 by the signal."""
    return _FIRST_STATUS + _Heard.number


def is_ctrl_c() -> bool:
    """Say whether it was Ctrl-C that came last, which may end less than the program."""
    return _Heard.number == signal.SIGINT


def interrupt(number: int, frame: FrameType | None) -> None:
    """Raise KeyboardInterrupt for a signal, or have the signal come again a moment later."""
    while frame is not None:
        if frame.f_code.co_name == "__del__":
            main = threading.main_thread().ident or 0
            again = threading.Timer(AGAIN_S, signal.pthread_kill, (main, number))
            again.daemon = True
            again.start()
            return
        frame = frame.f_back
    if is_new(number):
        raise KeyboardInterrupt


def heed_no_more() -> None:
    """Let signals pass from here on: what is left to do is to say so, and to end."""
    _Heard.over = True


@contextmanager
def never_lost() -> Iterator[None]:
    """Handle signals with `interrupt` where Python's own handlers would; leave any other.

    One that is ignored stays so, as SIGHUP under ``nohup``.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _Heard.over, _Heard.number, _Heard.at_s = False, int(signal.SIGINT), -math.inf
    before = {number: signal.getsignal(number) for number in SIGNALS}
    usual = {number: handler for number, handler in before.items() if handler in _USUAL}
    for number in usual:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, handler in usual.items():
            signal.signal(number, handler)
        _Heard.over = False
        # Where an interrupt passed through `exec`, as it may while packages are imported, Python
        # ends `python -m` by SIGINT whatever the status is, unless something is run by it again.
        exec("")  # noqa: S102


def end_at_once() -> None:
    """Let Ctrl-C end the process without a traceback, while there is nothing yet to be saved."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def end_process(status: int) -> NoReturn:
    """End the process with a status that a library's thread, at work still, cannot change.

    Python tears down such a thread when it asks for the interpreter again, which native code takes
    for a fault: it aborts the process (seen with `tokenizers`: "exception not rethrown", SIGABRT).
    """
    main = threading.main_thread()
    if status and any(thread.daemon for thread in threading.enumerate() if thread is not main):
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):  # closed, full, or read by nobody
                stream.flush()
        os._exit(status)
    sys.exit(status)
