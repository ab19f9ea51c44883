"""Signals that stop the program (Ctrl-C, SIGTERM, SIGHUP), and its end.

Python swallows exceptions inside a finalizer (``__del__``), an interrupt as well: a run would go
on, with a traceback on the terminal. There the interrupt is delayed. Signals in quick succession
count as one: a terminal that closes sends several, and the clean-up after the first must not be cut
off by the next.
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
"""Delay of an interrupt that fell into a finalizer."""

SAME_S = 0.5
"""Time after a signal within which further ones count as the same."""

SIGNALS = tuple(
    signal.Signals[name] for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
_DEFAULT_HANDLERS = (signal.default_int_handler, signal.SIG_DFL)
_FIRST_STATUS = 128
"""The number to which shells add a signal's own for the exit status."""


class _Last:
    """The last signal that counted: its number and time, and whether further ones are ignored."""

    number = int(signal.SIGINT)
    at_s = -math.inf
    ignore_more = False


def is_new(number: int) -> bool:
    """Record a signal; False if it is to be ignored, or the last one once more."""
    if _Last.ignore_more or time.monotonic() - _Last.at_s < SAME_S:
        return False
    _Last.number, _Last.at_s = number, time.monotonic()
    return True


def exit_status() -> int:
    """Return the exit status of a program that was stopped: 130, 143 or 129 by the signal."""
    return _FIRST_STATUS + _Last.number


def is_ctrl_c() -> bool:
    """Return whether the last signal was Ctrl-C, which may end less than the program."""
    return _Last.number == signal.SIGINT


def interrupt(number: int, frame: FrameType | None) -> None:
    """Raise KeyboardInterrupt for a signal, or send it again a moment later inside a finalizer."""
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


def ignore_signals() -> None:
    """Ignore signals from here on, when only the last message and the end are left."""
    _Last.ignore_more = True


@contextmanager
def handle_signals() -> Iterator[None]:
    """Replace Python's default handlers by `interrupt`, and restore them at the end.

    Other handlers stay, and so do ignored signals, as SIGHUP under ``nohup``.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _Last.ignore_more, _Last.number, _Last.at_s = False, int(signal.SIGINT), -math.inf
    before = {number: signal.getsignal(number) for number in SIGNALS}
    replaced = {number: one for number, one in before.items() if one in _DEFAULT_HANDLERS}
    for number in replaced:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, handler in replaced.items():
            signal.signal(number, handler)
        _Last.ignore_more = False
        # Where an interrupt passed through `exec`, as it may while packages are imported, Python
        # ends `python -m` by SIGINT whatever the status is, unless something is run by it again.
        exec("")  # noqa: S102


@contextmanager
def deaf() -> Iterator[None]:
    """Ignore all signals for a while, in a process that another one ends."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def end_on_ctrl_c() -> None:
    """Let Ctrl-C end the process without a traceback, while there is nothing to save yet."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def end_process(status: int) -> NoReturn:
    """End the process with a status, even while a daemon thread of a library is at work.

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
