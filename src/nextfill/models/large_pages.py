"""Memory in pages of 2 MB, of which a processor reads weights quicker than of 4 KB.

A step of generation reads each weight once, one after the other. A processor reads ahead to the end
of a page at most, and looks up where each page lies; on a virtual machine that is looked up twice.
"""

from __future__ import annotations

import ctypes
import mmap
import platform
from pathlib import Path

_NEVER = -1
"""As glibc's threshold: its heap is given back at no size."""


def ask_for_large_pages(num_bytes: int) -> bool:
    """Have what is next put into memory stand in pages of 2 MB, so many bytes of it.

    It is for tensors of a CPU, made by the main thread, once `tune_allocator` has put them into
    glibc's heap. Memory of the heap that is free is given back, as it would be taken again in
    pages of 4 KB. Nothing is taken before it is used.

    Args:
        num_bytes: More than will be used costs nothing.

    Returns:
        Whether there is a Linux with such pages, and a glibc's heap with that much room.

    Source:
        Linux, Documentation/admin-guide/mm/transhuge.rst: what ``madvise`` has named is put into
        large pages as it is first written, unless they are turned off for all of the machine.
    """
    if platform.system() != "Linux" or platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL("libc.so.6")
    libc.malloc.argtypes, libc.malloc.restype = [ctypes.c_size_t], ctypes.c_void_p
    libc.free.argtypes = [ctypes.c_void_p]
    libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    m_trim_threshold = -1
    libc.mallopt(m_trim_threshold, _NEVER)  # or a room of 2 GB would be given back below
    libc.malloc_trim(0)
    room = libc.malloc(num_bytes)
    if room is None:
        return False
    start, end = _heap()
    in_heap = start <= room < end
    failed = libc.madvise(start, end - start, mmap.MADV_HUGEPAGE) if in_heap else True
    libc.free(room)
    return not failed


def _heap() -> tuple[int, int]:
    """Return the first address of glibc's heap and the one behind its last; zeros without one."""
    parts = [
        [int(address, 16) for address in line.split()[0].split("-")]
        for line in Path("/proc/self/maps").read_text("utf-8").splitlines()
        if line.endswith("[heap]")
    ]
    return (parts[0][0], parts[-1][1]) if parts else (0, 0)
