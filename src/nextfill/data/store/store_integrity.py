"""The integrity of a token store: its files are what ``meta.json`` says of them."""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nextfill.core.amounts import amount
from nextfill.core.checksums import CHECKSUM, file_checksum, is_whole
from nextfill.core.errors import DataError
from nextfill.core.shared_cache import UNREADABLE, owner, recall, remember
from nextfill.core.shell_command import shell_word
from nextfill.data.records.files import exact_state, is_settled

FORMAT_VERSION = 3

IN_PIECES = "ends_apart"
"""The part of a store's key that says that its documents are in pieces."""

ADDRESS = "address.json"
"""File of a store that is a copy of one at an address, from which it gets what it lacks."""

FETCHED = ("tokens.bin", "columns.parquet")
"""Files of a shard that a copy need not have."""

_PASSING = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ESTALE, errno.ETIMEDOUT, errno.ENOTCONN)
"""Errors that are not the file's fault: too many open files, or a server that is away."""


class DamagedStoreError(DataError):
    """A token store is not as it was written; ``damage`` describes it for messages."""

    def __init__(self, path: Path, damage: str) -> None:
        self.path, self.damage = path, damage
        super().__init__(
            f"the token store {path} is damaged: {damage}; delete the folder and prepare the data "
            "again"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.path, self.damage)


def shard_name(shard: int) -> str:
    """Return the folder name of a shard.

    Example:
        >>> shard_name(3)
        'shard-00003'
    """
    return f"shard-{shard:05d}"


def read_meta(path: Path) -> dict[str, Any]:
    """Read the ``meta.json`` of a store, and check that it is whole."""
    try:
        with _reading(path, "meta.json"):
            meta: dict[str, Any] = json.loads((path / "meta.json").read_bytes())
    except UNREADABLE as error:
        raise DamagedStoreError(path, f"meta.json cannot be read ({error})") from error
    version = meta.get("format_version") if isinstance(meta, dict) else None
    if version != FORMAT_VERSION:
        raise DamagedStoreError(
            path, f"it has format_version {version}, this Nextfill reads {FORMAT_VERSION}"
        )
    if not is_whole(meta):
        raise DamagedStoreError(path, "meta.json does not hold what was written to it")
    return meta


def check_files(path: Path, meta: Mapping[str, Any], *, verify: bool, fresh: bool = False) -> None:
    """Check the files of a store, and remember the states of those that are whole.

    ``verify`` reads every file again; ``fresh`` reads from the disk, past the system's memory.
    """
    with _reading(path, "meta.json"):
        memory = path / f"verified-{(path / 'meta.json').stat().st_dev:x}.json"
    recalled = recall(memory, meta[CHECKSUM])
    known: dict[str, Any] = recalled if isinstance(recalled, dict) else {}
    states: dict[str, list[int]] = {}
    is_copy = (path / ADDRESS).is_file()
    for name, expected in files_of(meta):
        if is_copy and name.endswith(FETCHED) and not (path / name).exists():
            continue
        with _reading(path, name):
            state = exact_state((path / name).stat())
            began_ns = time.time_ns()
            is_known = not verify and known.get(name) == list(state)
            if not is_known:
                check_file(path, name, expected, fresh=fresh)
            if is_known or is_settled(state, began_ns):
                states[name] = list(state)
    if states and states != known:
        remember(memory, meta[CHECKSUM], states)


@contextmanager
def _reading(path: Path, name: str) -> Iterator[None]:
    """Turn the system's errors about a file of a store into ours."""
    try:
        yield
    except FileNotFoundError as error:
        damage = f"{_file_name(name)} is missing" if path.is_dir() else "it is not there"
        raise DamagedStoreError(path, damage) from error
    except PermissionError as error:
        raise DataError(
            f"the token store {path} may not be read: permission denied for {name}, which belongs "
            f"to {owner(path)}. They may type: chmod -R g+rwX {shell_word(path)}; or "
            "name another folder with --cache-dir"
        ) from error
    except OSError as error:
        problem = f"{_file_name(name)} cannot be read: {error.strerror}"
        if error.errno in _PASSING:
            raise DataError(f"the token store {path}: {problem}. Try again") from error
        raise DamagedStoreError(path, problem) from error


def files_of(meta: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the path of each file in the store, with its size and checksum."""
    for shard, described in enumerate(meta["shards"]):
        for name, expected in described["files"].items():
            yield f"{shard_name(shard)}/{name}", expected


def check_file(path: Path, name: str, expected: Mapping[str, Any], *, fresh: bool) -> None:
    """Compare a file with its size and checksum."""
    file = path / name
    size = file.stat().st_size
    if size != expected["bytes"]:
        difference = f"has {amount(size, 'byte')}, not {expected['bytes']:,}"
        raise DamagedStoreError(path, f"{_file_name(name)} {difference}")
    if fresh:
        _forget_pages(file)
    if file_checksum(file) != expected:
        raise DamagedStoreError(path, f"{_file_name(name)} holds other bytes than were written")


def _forget_pages(file: Path) -> None:
    """Ask the system to drop its cached pages of a file that is on the disk."""
    if hasattr(os, "posix_fadvise"):
        descriptor = os.open(file, os.O_RDONLY)
        try:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)


def _file_name(name: str) -> str:
    """Name a file of a store in messages."""
    shard, slash, file = name.partition("/")
    return f"{file} of shard {int(shard.removeprefix('shard-'))}" if slash else name
