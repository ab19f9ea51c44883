"""Stopping on request, without losing the step in hand."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SAVING = b"\nnextfill: finishing the step and saving; press again to stop at once.\n"


@contextmanager
def interruption() -> Iterator[Callable[[], bool]]:
    """Let the first Ctrl-C or SIGTERM finish the step in hand; a second one stops at once.

    Yields:
        A function that says whether the user has asked to stop.
    """
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set  # signals reach the main thread only
        return
    signals = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in signals}

    def ask(number: int, frame: FrameType | None) -> None:
        asked.set()
        os.write(2, SAVING)  # not print, which may be in the middle of a line
        for each in signals:
            signal.signal(each, before[each])

    for number in signals:
        signal.signal(number, ask)
    try:
        yield asked.is_set
    finally:
        for number in signals:
            signal.signal(number, before[number])
