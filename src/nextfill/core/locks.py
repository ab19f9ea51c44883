"""Locks between processes, and the refusal of several processes started as one job.

The locks are the kernel's own (``flock``), so that a process that is killed lets go of them. A file
system without them (some network ones) is used without, and so is a lock file that other users may
not open: two processes may then make the same store, and the first to finish puts its own in place.
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

from nextfill.core.errors import ConfigError
from nextfill.core.shared_cache import make_folder, open_to_group

_NO_LOCKS = (errno.ENOTSUP, errno.ENOLCK, errno.ENOSYS, errno.EINVAL, errno.EBADF)
"""The last comes from NFS, for an exclusive lock on a file open for reading only."""

_POLL_S = 0.05

MACHINE = hashlib.sha256(platform.node().encode()).hexdigest()[:8]
"""Suffix of the names of locked folders, as some network file systems lock on one machine only."""

_used: dict[Path, int] = {}
"""Stores that this process uses until it ends, each with an open file under a shared lock."""

SIZES = {
    "WORLD_SIZE": "torchrun, accelerate or deepspeed",
    "OMPI_COMM_WORLD_SIZE": "mpirun",
    "PMI_SIZE": "mpiexec",
    # SLURM_NTASKS is set in a batch script, too, which is one process whatever its value.
    "SLURM_STEP_NUM_TASKS": "srun",
}
"""Variables with the number of processes, and the launchers that set them."""


def open_lock(path: Path) -> int | None:
    """Open or make a lock file; None where another user's may not be opened."""
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
    """Hold an exclusive lock after waiting for its holder, and close it at the end."""
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
    """Lock a folder that this process fills, as a sign for others; return its descriptor."""
    descriptor = os.open(folder, os.O_RDONLY)
    _lock(descriptor, fcntl.LOCK_EX)
    return descriptor


def is_held(folder: Path) -> bool | None:
    """Return whether a process still fills a folder, None where no lock can tell."""
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
    """Protect a store from removal until this process ends; False if there is none."""
    meta = store / "meta.json"
    held = _used.get(store)
    if held is not None and _is_same(held, meta):
        return True
    try:
        descriptor = os.open(meta, os.O_RDONLY)
    except FileNotFoundError:
        return False
    except OSError:  # the opening of the store reports why it cannot be used
        return True
    while not _lock(descriptor, fcntl.LOCK_SH):  # it is being removed, or put aside
        time.sleep(_POLL_S)
    if not _is_same(descriptor, meta):
        os.close(descriptor)
        return keep(store)
    if held is not None:
        os.close(held)
    _used[store] = descriptor
    return True


def let_go(store: Path) -> None:
    """Protect a store no longer: this process is done with it, and may go through many."""
    if (descriptor := _used.pop(store, None)) is not None:
        os.close(descriptor)


@contextmanager
def unused(store: Path) -> Iterator[bool]:
    """Yield whether no process uses a store, and exclude others meanwhile."""
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
    """Open a file for writing, as locks on NFS need, or for reading where that is refused."""
    try:
        return os.open(path, os.O_RDWR)
    except (PermissionError, IsADirectoryError):
        return os.open(path, os.O_RDONLY)
    except OSError as error:
        if error.errno != errno.EROFS:
            raise
        return os.open(path, os.O_RDONLY)


def _lock(descriptor: int, kind: int) -> bool:
    """Take a lock if it is free; True also on a file system without locks."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
    return True


def _is_same(descriptor: int, path: Path) -> bool:
    """Return whether an open file is still the one at a path."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def launched_processes() -> tuple[str, str, str] | None:
    """Return the variable that tells of several processes, their number, and who started them."""
    for name, launcher in SIZES.items():
        size = os.environ.get(name, "").strip()
        if size.isdecimal() and int(size) > 1:
            return name, size, launcher
    return None


def check_one_process(what: str) -> None:
    """Refuse to go on where a launcher has started several processes."""
    if found := launched_processes():
        name, size, launcher = found
        raise ConfigError(
            [
                f"{name}={size} says that {size} processes were started (by {launcher}): each "
                f"of them would {what}, in the same place. Nextfill runs in one process: start "
                f"it without a launcher, or unset {name} where one process alone gets here."
            ]
        )
