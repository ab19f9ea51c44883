"""Atomic writes of files and folders: written beside their place, flushed to disk, then renamed.

A file replaces another in one step (``rename``); a folder that is not empty does not. Where the
kernel can, the two folders are exchanged in one step, so that no other program ever finds none.
Where it cannot (some network file systems), the old one is renamed aside first, and a reader of the
place restores it if a kill came before the new one was there: `recover_folder`.

``owned`` says that this process alone writes there, so that the name beside it needs no number and
is cleared of what a kill has left.
"""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_AT_FDCWD = -100
_SWAP = 2
"""RENAME_EXCHANGE of Linux' renameat2, and RENAME_SWAP of macOS' renamex_np."""

_IN_USE = (errno.EEXIST, errno.ENOTEMPTY)
_TRIES = 100


@contextmanager
def write_file(path: Path, *, owned: bool = False, durable: bool = True) -> Iterator[Path]:
    """Yield a path to write a file at, and rename it to ``path`` if the block succeeds."""
    beside = _beside(path, owned=owned)
    try:
        beside.unlink(missing_ok=True)
        beside.touch(exist_ok=False)
        mode = beside.stat().st_mode & 0o777
        yield beside
        beside.chmod(mode)  # safetensors makes files that only their owner may read
        if durable:
            sync(beside)
        beside.replace(path)
        if durable:
            sync(path.parent)
    finally:
        with suppress(OSError):  # a full disk has raised already
            beside.unlink(missing_ok=True)


@contextmanager
def write_folder(path: Path, *, owned: bool) -> Iterator[Path]:
    """Yield a folder to fill, and rename it to ``path`` if the block succeeds."""
    if owned:
        recover_folder(path)
    beside = _beside(path, owned=owned)
    _remove(beside)
    beside.mkdir(parents=True)
    try:
        yield beside
        _finish(beside)
        if owned:
            replace_folder(beside, path)
        else:
            beside.rename(path)
            sync(path.parent)
    finally:
        _remove(beside)


def make_beside(path: Path) -> Path:
    """Make a hidden folder beside a place, of this call alone, for `replace_folder` later."""
    beside = _beside(path, owned=False)
    beside.mkdir(parents=True)
    return beside


def replace_folder(beside: Path, path: Path) -> None:
    """Replace a folder by another, so that at every instant one of them is found."""
    aside = _aside(path)
    if not os.path.lexists(path):
        beside.rename(path)
    elif not _exchange(beside, path):
        _remove(aside)
        path.rename(aside)
        _rename_until_free(beside, path)
    sync(path.parent)
    _remove(aside)
    _remove(beside)  # after an exchange, the old one


def recover_folder(path: Path) -> None:
    """Restore a folder whose replacement was cut off by a kill; else do nothing."""
    aside = _aside(path)
    if aside.is_dir() and not os.path.lexists(path):
        with suppress(OSError):
            aside.rename(path)


def remove_folder(path: Path) -> None:
    """Remove a folder from its place in one step, so that no reader finds half of it."""
    gone = _beside(path, owned=False)
    path.rename(gone)
    _remove(gone)


def sync(path: Path) -> None:
    """Flush a file, or the entries of a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _beside(path: Path, *, owned: bool) -> Path:
    """Return a hidden name beside a place, unique to this call where others may write, too."""
    tag = "" if owned else f".{os.getpid()}-{time.monotonic_ns()}"
    return path.with_name(f".{path.name}{tag}.tmp")


def _aside(path: Path) -> Path:
    """Return the name of a folder that is being replaced; not *.tmp, as it may be the only one."""
    return path.with_name(f".{path.name}.old")


def _finish(folder: Path) -> None:
    """Give every file of a folder the mode of any new file, and flush all of them."""
    mode = folder.stat().st_mode & 0o666  # as the umask has it: mkdir made the folder
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            path.chmod(mode)
        sync(path)
    sync(folder)


def _rename_until_free(beside: Path, path: Path) -> None:
    """Rename a folder to a place whose former folder was just put aside."""
    for _ in range(_TRIES):
        try:
            beside.rename(path)
        except OSError as error:  # a reader has restored the old one in this very moment
            if error.errno not in _IN_USE:
                raise
            with suppress(OSError):
                path.rename(_aside(path))
        else:
            return
    beside.rename(path)


def _remove(path: Path) -> None:
    if path.is_symlink() or path.is_file():  # a link leads to what is not ours to empty
        path.unlink()
    else:
        shutil.rmtree(path, ignore_errors=True)


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two paths in one step; False where the system cannot."""
    names = os.fsencode(one), os.fsencode(other)
    library = ctypes.CDLL(None)
    try:
        if sys.platform == "darwin":
            return bool(library.renamex_np(*names, _SWAP) == 0)
        return bool(library.renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _SWAP) == 0)
    except AttributeError:  # a C library without it
        return False
