"""Files of records, on the disk, in an archive or at an address: names, digests, options."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import time
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from nextfill.config import TxtMode
from nextfill.core.shared_cache import recall, remember
from nextfill.core.streams import printable
from nextfill.data.records.range_stream import FileRange

logger = logging.getLogger("nextfill")

MOST_BYTES = 1 << 30
"""The longest line, JSON value or text: one of a gigabyte is taken for a mistake."""

MOST_UNPACKED_BYTES = 1 << 26
"""The same where a small file may unpack to any size. As Python objects, JSON can take 20 to 30
times the memory of its text."""

INPUTS = "inputs"
"""The folder of a cache for data that came from a Python program, a pipe or a secret address."""

_DIGESTS = "digests"
_INPUT = re.compile(
    r"(?:(?P<number>\d+)-(?P<noun>texts|records|rows)|(?P<once>standard-input|download))"
    r"\.(?P<digest>[0-9a-f]{64})(?:\.\w+)+"
)

SURE_NS = 2_000_000_000
"""The coarsest step of a file system's clock: two seconds, of FAT."""

State = tuple[int, ...]

Row = tuple[str, Mapping[str, Any] | str]
"""The place of a record, for messages, and the record."""


@dataclass(frozen=True)
class File:
    """One file of records.

    Args:
        name: Its name in messages.
        format: A key of `file_readers.READERS`.
        compression: The suffix of its compression, or an empty string.
        raw: Opens the bytes as they are stored.
        content: Returns an identifier of the content, such as its SHA-256.
        remembered: Returns the answer to a question about the content, given what finds it out;
            a file that is read in place remembers it.
        seeks: Whether the stored bytes can be read in any order without reading them anew.
        by_flag: Whether ``--format`` named the format.
        encoding: Python's name of a text file's encoding; empty for UTF-8.
        range: The only part of it that is read; None for all.
    """

    name: str
    format: str
    compression: str
    raw: Callable[[], BinaryIO]
    content: Callable[[], str]
    seeks: bool = True
    by_flag: bool = False
    encoding: str = ""
    remembered: Callable[[str, Callable[[], Any]], Any] = lambda question, answer: answer()
    range: FileRange | None = None

    @property
    def is_begun(self) -> bool:
        """Whether something of it comes before what is read."""
        return self.range is not None and self.range.begin > 0

    @property
    def before(self) -> int:
        """Lines or rows of it that come before what is read, as far as they have been counted."""
        return (self.range.before or 0) if self.range is not None else 0

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
    """The files that a ``--data`` argument names, in the order of reading.

    Args:
        files: The files.
        state: Returns, at once, a value that differs after one of them was changed or replaced.
        several: Whether a folder, a glob or an archive was named, of whatever many files.
        left_out: Counts of the files that are not read, by reason.
        left_out_names: The first names of these.
        identity: Returns a value that stands for the content and is had without reading it; None
            where ``state`` is one.
    """

    files: Sequence[File]
    state: Callable[[], Hashable]
    several: bool = False
    left_out: Mapping[str, int] = field(default_factory=dict)
    left_out_names: Mapping[str, Sequence[str]] = field(default_factory=dict)
    identity: Callable[[], Hashable] | None = None


@dataclass(frozen=True)
class ReadOptions:
    """Options of a reader.

    Args:
        txt: The unit of a document in plain text; None for the format's own.
        divide: The list of a single JSON object whose elements are the records.
        fields: Path of the text, if the user names one, and of the columns for figures by group:
            the only columns read of a table.
        keep: Names of fields to keep beside the text, which folders may be named by.
        several: Whether the file is one of a folder, a glob or an archive.
        beside_text: Filled, by file name, with counts of what a document holds beside its text.
        tables: Filled, by file name, with the shapes of JSON tables that are read by columns, and
            of CSV with another separator; None where a JSON object is a record whatever its shape.
        strings_only: Whether nothing but the strings of records matters after the first ones.
    """

    txt: TxtMode | None = None
    divide: str | None = None
    fields: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()
    several: bool = False
    beside_text: dict[str, Mapping[str, int]] = field(default_factory=dict)
    tables: dict[str, str] | None = None
    strings_only: bool = False


def local_file(
    path: Path, name: str, file_format: str, compression: str, *, by_flag: bool = False
) -> File:
    """Make the `File` of a path."""
    return File(
        display_name(name),
        file_format,
        compression,
        raw=lambda: path.open("rb"),
        content=lambda: content_hash(path),
        by_flag=by_flag,
        remembered=partial(remembered, path),
    )


def display_name(name: str) -> str:
    r"""Return a file's name without control characters and undecodable bytes.

    Example:
        >>> display_name("a\x1b[2J\udcff.txt")
        'a[2J\\udcff.txt'
    """
    return printable(name).encode("utf-8", "backslashreplace").decode()


def live_name(path: Path) -> str | None:
    """Return the name in messages of a cached file of live data, or None for any other path.

    Example:
        >>> live_name(Path("cache/inputs") / f"3-texts.{64 * 'a'}.jsonl")
        '3 texts from Python'
    """
    match = _input_match(path)
    if match is None or match["noun"] is None:
        return None
    number, noun = int(match["number"]), match["noun"]
    return f"{number:,} {noun if number > 1 else noun.removesuffix('s')} from Python"


def input_name(path: Path) -> str | None:
    """Return the name in messages of any file among a cache's inputs, or None for another path.

    Example:
        >>> input_name(Path("cache/inputs") / f"standard-input.{64 * 'a'}.txt")
        'standard input'
    """
    match = _input_match(path)
    return live_name(path) or (match["once"].replace("-", " ") if match else None)


def input_digest(path: Path) -> str | None:
    """Return the SHA-256 in the name of a file among a cache's inputs, None for any other path.

    Example:
        >>> input_digest(Path("cache/inputs") / f"3-texts.{64 * 'a'}.jsonl") == 64 * "a"
        True
    """
    match = _input_match(path)
    return match["digest"] if match else None


def _input_match(path: Path) -> re.Match[str] | None:
    return _INPUT.fullmatch(path.name) if path.parent.name == INPUTS else None


@dataclass(frozen=True)
class _Memory:
    folder: Path
    verify: bool


_memory: ContextVar[_Memory | None] = ContextVar("digests", default=None)


@contextmanager
def remembering(cache: Path, *, verify: bool) -> Iterator[None]:
    """Remember digests in a cache; with ``verify`` they are computed anew all the same."""
    token = _memory.set(_Memory(cache / _DIGESTS, verify))
    try:
        yield
    finally:
        _memory.reset(token)


def warn_once(message: str | Callable[[], str], about: Sequence[object]) -> None:
    """Warn of what was found in files, unless the cache remembers that it was said of them.

    The same data are named by a path from here, and in a run by one from the root: what is
    remembered is ``about``, plain data in which paths are absolute, and not the message, which may
    be a function that makes it.
    """
    memory = _memory.get()
    if memory is not None:
        about = ["said", *about]
        name = hashlib.sha256(json.dumps(about).encode()).hexdigest()[:32]
        record = memory.folder / f"{name}.json"
        if recall(record, about) is not None:
            return
        remember(record, about, True)
    logger.warning("%s", message() if callable(message) else message)


def content_hash(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    return str(remembered(path, "", lambda: _hash(path)))


def remembered(path: Path, question: str, answer: Callable[[], Any]) -> Any:
    """Return the answer to a question about a file's bytes, remembered until the file changes.

    An answer is plain data; an empty question is for the file's digest.
    """
    memory = _memory.get()
    if memory is None:
        return answer()
    absolute = os.path.abspath(path)  # noqa: PTH100 - without following links
    name = hashlib.sha256(f"{absolute}{question}".encode("utf-8", "surrogateescape"))
    record = memory.folder / f"{name.hexdigest()[:32]}.json"
    before = exact_state(path.stat())
    about = [absolute, before, question] if question else [absolute, before]
    if not memory.verify and (known := recall(record, about)) is not None:
        return known
    began_ns = time.time_ns()
    found = answer()
    if exact_state(path.stat()) == before and is_settled(before, began_ns):
        remember(record, about, found)
    return found


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def state_of_paths(paths: Sequence[Path]) -> tuple[State, ...]:
    """Return a value that differs after one of the files was changed or replaced."""
    stats = [path.stat() for path in paths]
    return tuple((stat.st_size, stat.st_mtime_ns, stat.st_ino) for stat in stats)


def identity_of_paths(paths: Sequence[Path]) -> tuple[tuple[str, State | int], ...]:
    """Return the places and exact states of files, which stand for what they hold.

    A file that was written just now may change again within one tick of its clock: the time of
    asking stands for it, so that nothing made of it is taken for later content.
    """
    now_ns = time.time_ns()
    found: list[tuple[str, State | int]] = []
    for path in paths:
        state = exact_state(path.stat())
        absolute = os.path.abspath(path)  # noqa: PTH100 - without following links
        found.append((absolute, state if is_settled(state, now_ns) else now_ns))
    return tuple(found)


def exact_state(stat: os.stat_result) -> State:
    """Return a value that differs even after a change that put the time of modification back."""
    return stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino, stat.st_dev


def is_settled(state: State, began_ns: int) -> bool:
    """Check that a file last changed so long before its reading that a later change would show."""
    return began_ns - max(state[1:3]) > SURE_NS
