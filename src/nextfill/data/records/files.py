"""A file to read, wherever it lies: on the disk, in an archive, at an address."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from nextfill.core.shared_cache import recall, remember
from nextfill.core.streams import printable

MOST_BYTES = 1 << 30
"""The longest line, JSON value or text: one of a gigabyte is taken for a mistake."""

MOST_UNPACKED_BYTES = 1 << 26
"""The same where a small file may unpack to any size. As Python objects, JSON can take 20 to 30
times the memory of its text."""


@dataclass(frozen=True)
class File:
    """One file of records.

    Args:
        name: What messages call it.
        format: A key of `readers.READERS`.
        compression: The suffix of its compression, or an empty string.
        raw: Opens the bytes as they are stored.
        content: Returns what identifies the content, such as its SHA-256.
        seeks: Whether the stored bytes can be read in any order without reading them anew.
        asked: Whether the user said the format.
    """

    name: str
    format: str
    compression: str
    raw: Callable[[], BinaryIO]
    content: Callable[[], str]
    seeks: bool = True
    asked: bool = False

    @property
    def may_unpack(self) -> bool:
        """Whether there may be more to read than is stored."""
        return bool(self.compression) or not self.seeks

    @property
    def most_bytes(self) -> int:
        """The longest line, JSON value or text that is read of it."""
        return MOST_UNPACKED_BYTES if self.may_unpack else MOST_BYTES


@dataclass(frozen=True)
class Files:
    """The files that a ``--data`` argument names, in the order in which they are read.

    Args:
        files: The files.
        state: Returns, at once, what differs after one of them was changed or replaced.
        several: Whether a folder, a glob or an archive was named, of whatever many files.
        left_out: Files that are not read, by reason.
    """

    files: Sequence[File]
    state: Callable[[], Hashable]
    several: bool = False
    left_out: Mapping[str, int] = field(default_factory=dict)


def local_file(path: Path, name: str, known: str, compression: str, *, asked: bool = False) -> File:
    """Make the file of a path."""
    return File(
        shown(name),
        known,
        compression,
        raw=lambda: path.open("rb"),
        content=lambda: content_hash(path),
        asked=asked,
    )


def state_of_paths(paths: Sequence[Path]) -> tuple[State, ...]:
    """Return what differs after one of the files was changed or replaced."""
    return tuple(state_of(path.stat()) for path in paths)


def shown(name: str) -> str:
    r"""Return a file's name as it may be shown, whatever bytes are in it.

    Example:
        >>> shown("a\x1b[2J\udcff.txt")
        'a[2J\\udcff.txt'
    """
    return printable(name).encode("utf-8", "backslashreplace").decode()


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
    """Remember digests in a cache, and believe those that are remembered."""
    token = _memory.set(_Memory(cache / FOLDER, verify))
    try:
        yield
    finally:
        _memory.reset(token)


def content_hash(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
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
    """Say whether a file was changed so long before it was read that a later change would show."""
    return began_ns - max(state[1:3]) > SURE_NS


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
