"""Ctrl-C that is never lost.

Python swallows what is raised inside a finalizer (``__del__``), an interrupt as well: a run that
was told to stop would go on, with a traceback on the terminal. There the interrupt waits.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

AGAIN_S = 0.02
"""After so long an interrupt that fell into a finalizer comes again."""


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
    raise KeyboardInterrupt


@contextmanager
def never_lost() -> Iterator[None]:
    """Handle Ctrl-C with `interrupt` where Python's own handler would; leave any other."""
    in_main = threading.current_thread() is threading.main_thread()
    if not in_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
