"""The memory of tensors on a CPU: glibc's heap, in pages of 2 MB where Linux has them.

A step reads weights, moments and gradients once, one after the other. A processor reads ahead to
the end of a page at most, and looks up where each page lies; on a virtual machine that is looked up
twice.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import platform
from functools import cache
from pathlib import Path

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -2, -3, -4
"""glibc's numbers of what `mallopt` sets."""

_NEVER = -1
"""As a threshold: the heap is given back at no size."""


@cache
def tune_allocator() -> bool:
    """Make glibc keep freed memory instead of giving it back after every large tensor.

    By default each large tensor is a fresh mapping, and half the time of a bf16 training step on a
    CPU goes into page faults; keeping the memory is 1.4 to 1.5 times as fast, for about 15% more
    of it. It is to stand in large pages, too.

    Returns:
        Whether there was a glibc to tune.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL("libc.so.6")
    libc.mallopt(_MMAP_MAX, 0)
    libc.mallopt(_TRIM_THRESHOLD, _NEVER)
    libc.mallopt(_TOP_PAD, 2**28)
    ask_for_large_pages()
    return True


def return_large_tensors() -> bool:
    """Make glibc give back each large tensor that is freed, whatever `tune_allocator` has said.

    Layers that are gathered and given up leave gaps in glibc's heaps that nothing else fits into.

    Returns:
        Whether there was a glibc to tune.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL("libc.so.6")
    libc.mallopt(_MMAP_MAX, 65536)
    libc.mallopt(_MMAP_THRESHOLD, 2**18)  # once given, it grows no more with what is freed
    libc.mallopt(_TRIM_THRESHOLD, 2**18)
    libc.mallopt(_TOP_PAD, 2**17)
    libc.malloc_trim(0)
    return True


def ask_for_large_pages(num_bytes: int | None = None) -> bool:
    """Have what is next put into memory stand in pages of 2 MB, so many bytes of it.

    It is for tensors made by the main thread, up to where memory that is free is given back. That
    of the heap is given back here, as it would be taken again in pages of 4 KB. Nothing is taken
    before it is used.

    Args:
        num_bytes: Half of the machine's memory by default. More than will be used costs nothing.

    Returns:
        Whether there is a Linux with such pages, and a glibc's heap with that much room.

    Source:
        Linux, Documentation/admin-guide/mm/transhuge.rst: what ``madvise`` has named is put into
        large pages as it is first written, unless they are turned off for all of the machine.
    """
    if platform.system() != "Linux" or platform.libc_ver()[0] != "glibc" or _counts_room():
        return False
    if num_bytes is None:
        num_bytes = os.sysconf("SC_PHYS_PAGES") * mmap.PAGESIZE // 2
    libc = ctypes.CDLL("libc.so.6")
    libc.malloc.argtypes, libc.malloc.restype = [ctypes.c_size_t], ctypes.c_void_p
    libc.free.argtypes = [ctypes.c_void_p]
    libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    libc.mallopt(_TRIM_THRESHOLD, _NEVER)  # or a room of 2 GB would be given back below
    libc.malloc_trim(0)
    room = libc.malloc(num_bytes)
    if room is None:
        return False
    start, end = _heap()
    in_heap = start <= room < end
    failed = libc.madvise(start, end - start, mmap.MADV_HUGEPAGE) if in_heap else True
    libc.free(room)
    return not failed


def _counts_room() -> bool:
    """Tell whether room that is not used is taken from this process, or from the machine."""
    import resource  # not on Windows

    limits = (resource.RLIMIT_AS, resource.RLIMIT_DATA)
    if any(resource.getrlimit(one)[0] != resource.RLIM_INFINITY for one in limits):
        return True
    promises = Path("/proc/sys/vm/overcommit_memory")
    return promises.is_file() and promises.read_text("ascii").strip() == "2"


def _heap() -> tuple[int, int]:
    """Return the first address of glibc's heap and the one behind its last; zeros without one."""
    parts = [
        [int(address, 16) for address in line.split()[0].split("-")]
        for line in Path("/proc/self/maps").read_text("utf-8").splitlines()
        if line.endswith("[heap]")
    ]
    return (parts[0][0], parts[-1][1]) if parts else (0, 0)
