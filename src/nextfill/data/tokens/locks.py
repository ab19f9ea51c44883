"""Locks between processes: one makes a store while others wait, and none in use is removed.

They are the kernel's own (``flock``), so that a process that is killed lets go of them. A file
system without them (some network ones) is used without: two processes may then make the same
store, and the first to finish puts its own in place.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_NO_LOCKS = (errno.ENOTSUP, errno.ENOLCK, errno.ENOSYS, errno.EINVAL)
_POLL_S = 0.05

_kept: dict[Path, int] = {}
"""Stores that this process uses, until it ends: open files with a shared lock."""


def open_lock(path: Path) -> int:
    """Open the file that stands for the right to make something.

    Args:
        path: The file, which is made with its folder and left behind.

    Returns:
        Its descriptor, for `making`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    return os.open(path, os.O_RDWR | os.O_CREAT, 0o666)


@contextmanager
def making(lock: int, on_wait: Callable[[], None]) -> Iterator[None]:
    """Hold the right to make something, after waiting for whoever holds it.

    Args:
        lock: From `open_lock`; closed afterwards.
        on_wait: Called once if another process has the right.
    """
    try:
        if not _lock(lock, fcntl.LOCK_EX):
            on_wait()
            while not _lock(lock, fcntl.LOCK_EX):
                time.sleep(_POLL_S)
        yield
    finally:
        os.close(lock)


def keep(store: Path) -> bool:
    """Keep a store from being removed as long as this process lives.

    Args:
        store: Its folder.

    Returns:
        Whether there is one.
    """
    meta = store / "meta.json"
    held = _kept.get(store)
    if held is not None and _is_same(held, meta):
        return True
    try:
        descriptor = os.open(meta, os.O_RDONLY)
    except FileNotFoundError:
        return False
    except PermissionError:  # opening it tells why it cannot be used
        return True
    while not _lock(descriptor, fcntl.LOCK_SH):  # it is being removed, or put aside
        time.sleep(_POLL_S)
    if not _is_same(descriptor, meta):
        os.close(descriptor)
        return keep(store)
    if held is not None:
        os.close(held)
    _kept[store] = descriptor
    return True


@contextmanager
def unused(store: Path) -> Iterator[bool]:
    """Say whether no process uses a store, and keep it so meanwhile.

    Args:
        store: Its folder.

    Yields:
        True if it may be removed.
    """
    try:
        descriptor = os.open(store / "meta.json", os.O_RDONLY)
    except FileNotFoundError:  # damaged or just removed: nobody can use it
        yield True
        return
    try:
        yield _lock(descriptor, fcntl.LOCK_EX)
    finally:
        os.close(descriptor)


def _lock(descriptor: int, kind: int) -> bool:
    """Take a lock if it is free."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
    return True


def _is_same(descriptor: int, path: Path) -> bool:
    """Say whether an open file is still the one at a path."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
