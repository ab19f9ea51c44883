"""Files and folders of a cache that a group of users may share, and its small JSON files of facts.

By the umask alone, the files of one person are closed to the others of a group that shares a
folder, or readable by them and neither lockable nor removable. So a new file or folder below one
that its group may write gets that group, and for it the rights of the owner. Elsewhere the umask
decides, and for others than the group it decides everywhere: anybody could change a cache for
everybody.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from nextfill.core.atomic_write import write_file
from nextfill.core.checksums import canonical_json, is_whole, sealed

_ABOUT = "about"
_FACTS = "facts"

UNREADABLE = (OSError, ValueError, RecursionError)
"""The errors of reading JSON from a file that is missing or holds something else."""


def make_folder(path: Path) -> None:
    """Make a folder of the cache and its parents, each open to the group of the one above."""
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
    """Give a new file or folder to the group of its parent, if that group may write there."""
    with suppress(OSError):
        above, status = path.parent.stat(), path.stat()
        if not above.st_mode & stat.S_IWGRP:
            return
        if status.st_gid != above.st_gid:
            os.chown(path, -1, above.st_gid)
        mode = stat.S_IMODE(status.st_mode)
        as_owner = (mode & stat.S_IRWXU) >> 3
        path.chmod(mode | as_owner | (above.st_mode & stat.S_ISGID if path.is_dir() else 0))


@contextmanager
def write_for_group(path: Path, *, durable: bool = False) -> Iterator[Path]:
    """Write a file of the cache as `write_file` does, and open it to the group."""
    with write_file(path, durable=durable) as beside:
        yield beside
    open_to_group(path)


def owner(path: Path) -> str:
    """Return the owner of a file or folder for messages: a name, or else a number.

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


def remember(file: Path, about: object, facts: object) -> None:
    """Write facts about something to a file; a failure only means that they are computed again."""
    keep_text(file, json.dumps(sealed({_ABOUT: about, _FACTS: facts})))


def keep_text(file: Path, text: str) -> None:
    """Write a text to a file of the cache; a failure only means that it is made again."""
    with suppress(OSError):
        make_folder(file.parent)
        with write_for_group(file) as beside:
            beside.write_text(text, encoding="utf-8")


def recall(file: Path, about: object) -> Any:
    """Return the facts of `remember`, None where missing, damaged or about another thing."""
    try:
        values = json.loads(file.read_bytes())
    except UNREADABLE:
        return None
    if not is_whole(values) or canonical_json(values.get(_ABOUT)) != canonical_json(about):
        return None
    return values.get(_FACTS)
