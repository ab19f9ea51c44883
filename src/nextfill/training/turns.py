"""Trainings of one process take turns, whichever threads ask for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import RLock

_TURN = RLock()


@contextmanager
def one_training(on_note: Callable[[str], None]) -> Iterator[None]:
    """Wait until no other thread trains, which is told, and keep others waiting.

    Dropout is drawn from PyTorch's one generator, which each training seeds before a forward pass:
    side by side they would have other figures each time.
    """
    if not _TURN.acquire(blocking=False):
        on_note("waiting for another training of this process to end")
        _TURN.acquire()
    try:
        yield
    finally:
        _TURN.release()
