"""Memory that is free in the heap goes back to the system, and what is used stays."""

from __future__ import annotations

import ctypes
import platform
from pathlib import Path

import pytest

from nextfill.core.heap import give_back_free_memory

BLOCK, NUMBER = 1 << 16, 1000


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) << 12


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="of glibc's heap")
def test_blocks_below_one_in_use_are_given_back():
    library = ctypes.CDLL(None)
    library.malloc.restype = ctypes.c_void_p
    library.free.argtypes = [ctypes.c_void_p]
    blocks = [library.malloc(BLOCK) for _ in range(NUMBER)]
    for block in blocks:
        ctypes.memset(block, 1, BLOCK)
    for block in blocks[:-1]:  # the last lies above them
        library.free(block)
    before = resident_bytes()
    give_back_free_memory()
    assert before - resident_bytes() > BLOCK * NUMBER // 2
    assert ctypes.string_at(blocks[-1], BLOCK) == b"\1" * BLOCK
    library.free(blocks[-1])
    give_back_free_memory()  # once more does no harm
