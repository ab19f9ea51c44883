"""Locks between processes: one makes a store while others wait, and none in use is removed.

They are the kernel's own (``flock``), so that a process that is killed lets go of them. A file
system without them (some network ones) is used without, and so is a lock that another user keeps
to himself: two processes may then make the same store, and the first to finish puts its own in
place.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from nextfill.core.shared_folders import make_folder, open_to_group

_NO_LOCKS = (errno.ENOTSUP, errno.ENOLCK, errno.ENOSYS, errno.EINVAL, errno.EBADF)
"""The last is NFS', for an exclusive lock on what is open for reading only."""

_POLL_S = 0.05

MACHINE = hashlib.sha256(platform.node().encode()).hexdigest()[:8]
"""Ends the names of folders that are held: some network file systems keep locks on each machine."""

_kept: dict[Path, int] = {}
"""Stores that this process uses, until it ends: open files with a shared lock."""


def open_lock(path: Path) -> int | None:
    """Open the file that stands for the right to make something."""
    make_folder(path.parent)
    try:
        # Exclusive: in a sticky folder Linux lets nobody "make" a file that another has made.
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
    except FileExistsError:
        with suppress(PermissionError):
            return _open_there(path)
        return None
    open_to_group(path)
    return descriptor


@contextmanager
def making(lock: int | None, on_wait: Callable[[], None]) -> Iterator[None]:
    """Hold the right to make something, after waiting for whoever holds it."""
    if lock is None:
        yield
        return
    try:
        if not _lock(lock, fcntl.LOCK_EX):
            on_wait()
            while not _lock(lock, fcntl.LOCK_EX):
                time.sleep(_POLL_S)
        yield
    finally:
        os.close(lock)


def hold_folder(folder: Path) -> int:
    """Hold a folder that this process fills, so that others see that somebody still does."""
    descriptor = os.open(folder, os.O_RDONLY)
    _lock(descriptor, fcntl.LOCK_EX)
    return descriptor


def is_held(folder: Path) -> bool | None:
    """Say whether a process still fills a folder, None where no lock can tell."""
    if not folder.name.endswith(f"-{MACHINE}"):
        return None
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return None
    else:
        return False
    finally:
        os.close(descriptor)


def keep(store: Path) -> bool:
    """Keep a store from being removed as long as this process lives."""
    meta = store / "meta.json"
    held = _kept.get(store)
    if held is not None and _is_same(held, meta):
        return True
    try:
        descriptor = os.open(meta, os.O_RDONLY)
    except FileNotFoundError:
        return False
    except OSError:  # opening it tells why it cannot be used
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
    """Say whether no process uses a store, and keep it so meanwhile."""
    try:
        descriptor = _open_there(store / "meta.json")
    except PermissionError:
        raise
    except OSError:  # damaged or just removed: nobody can use it
        yield True
        return
    try:
        yield _lock(descriptor, fcntl.LOCK_EX)
    finally:
        os.close(descriptor)


def _open_there(path: Path) -> int:
    """Open a file for writing, which locks on NFS need, or where that is refused for reading."""
    try:
        return os.open(path, os.O_RDWR)
    except (PermissionError, IsADirectoryError):
        return os.open(path, os.O_RDONLY)
    except OSError as error:
        if error.errno != errno.EROFS:
            raise
        return os.open(path, os.O_RDONLY)


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
