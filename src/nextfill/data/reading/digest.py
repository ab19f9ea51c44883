"""What tells the content of a local file, and whether it has changed since.

Reading gigabytes only to find that nothing has changed takes seconds, so a digest is remembered
with the file's size, times and inode. It is believed while those are the same, as git does it, and
only if the file was last changed well before it was read: a change within the clock's step could
leave the times as they were.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

from nextfill.data.memory import recall, remember

State = tuple[int, ...]

FOLDER = "digests"
SURE_NS = 2_000_000_000
"""The coarsest step of a file system's clock: two seconds, of FAT."""


@dataclass(frozen=True)
class _Memory:
    folder: Path
    verify: bool


_memory: ContextVar[_Memory | None] = ContextVar("digests", default=None)


@contextmanager
def remembering(cache: Path, *, verify: bool) -> Iterator[None]:
    """Remember digests in a cache, and believe those that are remembered.

    Args:
        cache: The cache folder.
        verify: Believe none: read every file, and remember what is found.
    """
    token = _memory.set(_Memory(cache / FOLDER, verify))
    try:
        yield
    finally:
        _memory.reset(token)


def content_hash(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal.

    Args:
        path: The file.

    Raises:
        OSError: If it cannot be read.
    """
    memory = _memory.get()
    if memory is None:
        return _hash(path)
    absolute = os.path.abspath(path)  # noqa: PTH100 - without following links
    name = hashlib.sha256(absolute.encode("utf-8", "surrogateescape")).hexdigest()[:32]
    record = memory.folder / f"{name}.json"
    before = exact_state(path.stat())
    if not memory.verify and isinstance(known := recall(record, [absolute, before]), str):
        return known
    began_ns = time.time_ns()
    digest = _hash(path)
    if exact_state(path.stat()) == before and is_settled(before, began_ns):
        remember(record, [absolute, before], digest)
    return digest


def state_of(stat: os.stat_result) -> State:
    """Return what differs after a file was changed or replaced."""
    return stat.st_size, stat.st_mtime_ns, stat.st_ino


def exact_state(stat: os.stat_result) -> State:
    """Return what differs even after a change that put the time of modification back."""
    return stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino, stat.st_dev


def is_settled(state: State, began_ns: int) -> bool:
    """Say whether a file was changed so long before it was read that a later change would show.

    Args:
        state: From `exact_state`, taken before it was read.
        began_ns: When reading began, in nanoseconds since 1970.
    """
    return began_ns - max(state[1:3]) > SURE_NS


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
