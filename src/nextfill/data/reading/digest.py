"""What tells the content of a local file, and whether it has changed since.

Reading gigabytes only to find that nothing has changed takes seconds, so a digest is remembered
with the file's size, times and inode. It is believed while those are the same, as git does it, and
only if the file was last changed well before it was read: a change within the clock's step could
leave the times as they were.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

from nextfill.atomic_write import write_file

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
    before = _exact_state(path.stat())
    if not memory.verify and (known := _recall(record, before)) is not None:
        return known
    began_ns = time.time_ns()
    digest = _hash(path)
    if _exact_state(path.stat()) == before and began_ns - max(before[1:3]) > SURE_NS:
        _write(record, {"path": absolute, "state": before, "sha256": digest})
    return digest


def state_of(stat: os.stat_result) -> State:
    """Return what differs after a file was changed or replaced."""
    return stat.st_size, stat.st_mtime_ns, stat.st_ino


def _exact_state(stat: os.stat_result) -> State:
    """Return what differs even after a change that put the time of modification back."""
    return stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino, stat.st_dev


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _recall(record: Path, state: State) -> str | None:
    with suppress(OSError, ValueError, KeyError, TypeError):
        known = json.loads(record.read_text(encoding="utf-8"))
        if tuple(known["state"]) == state:
            return str(known["sha256"])
    return None


def _write(record: Path, known: dict[str, object]) -> None:
    text = json.dumps(known, ensure_ascii=True)
    with suppress(OSError):  # a cache that cannot be written to remembers nothing
        record.parent.mkdir(parents=True, exist_ok=True)
        with write_file(record, durable=False) as beside:
            beside.write_text(text, encoding="utf-8")
