"""Who may use what is put into the cache: the group of its folder, where that may write there.

By the umask alone, what one person makes is closed to the others of a group that shares a folder,
or may be read by them and neither locked nor removed. So whatever is made in a folder that its
group may write gets that group, and for it the rights of the owner. Elsewhere the umask decides,
and what others than the group may do it decides everywhere: a cache for everybody could be changed
by anybody.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from nextfill.core.atomic_write import write_file


def make_folder(path: Path) -> None:
    """Make a folder of the cache, and those above it, if they are not there."""
    if path.is_dir():
        return
    make_folder(path.parent)
    try:
        path.mkdir()
    except FileExistsError:
        if not path.is_dir():
            raise
    else:
        open_to_group(path)


def open_to_group(path: Path) -> None:
    """Give a new file or folder to the group of its folder, if that group may write there."""
    with suppress(OSError):
        above, own = path.parent.stat(), path.stat()
        if not above.st_mode & stat.S_IWGRP:
            return
        if own.st_gid != above.st_gid:
            os.chown(path, -1, above.st_gid)
        mode = stat.S_IMODE(own.st_mode)
        as_owner = (mode & stat.S_IRWXU) >> 3
        path.chmod(mode | as_owner | (above.st_mode & stat.S_ISGID if path.is_dir() else 0))


@contextmanager
def write_for_group(path: Path, *, durable: bool = False) -> Iterator[Path]:
    """Do what `write_file` does, for a file of the cache."""
    with write_file(path, durable=durable) as beside:
        yield beside
    open_to_group(path)


def owner(path: Path) -> str:
    """Return the name of who owns a file or folder, for messages; their number if they have none.

    Example:
        >>> import tempfile
        >>> owner(Path(tempfile.mkdtemp())) != ""
        True
    """
    try:
        return path.owner()
    except (KeyError, OSError):
        with suppress(OSError):
            return f"user {path.stat().st_uid}"
        return "another user"
