"""The heap: memory that is free within the process, given back to the system."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from functools import cache


def give_back_free_memory() -> None:
    """Give the memory that is free in the heap back to the system, where the C library can.

    glibc keeps up to some 64 MB for what may come next, and more where something small lies above;
    after a stage that needed much, the next one then has it on top of its own. It takes some
    milliseconds. Other C libraries are left alone.
    """
    if (trim := _trim()) is not None:
        trim(0)


@cache
def _trim() -> Callable[[int], int] | None:
    if sys.platform != "linux":
        return None
    return getattr(ctypes.CDLL(None), "malloc_trim", None)
