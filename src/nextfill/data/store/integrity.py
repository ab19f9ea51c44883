"""That a token store is as it was written: its description, and the bytes of its files.

The description is read whole each time. A file is read whole once, after it was written, and again
when its size, times, inode or device have changed, or on demand: what was found whole is remembered
beside the shards, as `reading.digest` remembers digests. A copied store is therefore read once.
"""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nextfill.core.checksums import CHECKSUM, file_checksum, is_whole
from nextfill.core.errors import DataError
from nextfill.core.shared_cache import UNREADABLE, owner, recall, remember
from nextfill.data.records.files import exact_state, is_settled

FORMAT_VERSION = 3

_PASSING = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ESTALE, errno.ETIMEDOUT, errno.ENOTCONN)
"""What says nothing of the file: too many files are open, or the server is away."""


class DamagedStoreError(DataError):
    """A token store that is not as it was written.

    Args:
        path: The folder.
        what: What was found.
    """

    def __init__(self, path: Path, what: str) -> None:
        self.path, self.what = path, what
        super().__init__(
            f"the token store {path} is damaged: {what}; delete the folder and prepare the data "
            "again"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.path, self.what)


def shard_name(shard: int) -> str:
    """Return the folder name of a shard.

    Example:
        >>> shard_name(3)
        'shard-00003'
    """
    return f"shard-{shard:05d}"


def read_meta(path: Path) -> dict[str, Any]:
    """Read the description of a store."""
    try:
        with _reading(path, "meta.json"):
            meta = json.loads((path / "meta.json").read_bytes())
    except UNREADABLE as error:
        raise DamagedStoreError(path, f"meta.json cannot be read ({error})") from error
    found = meta.get("format_version") if isinstance(meta, dict) else None
    if found != FORMAT_VERSION:
        raise DamagedStoreError(
            path, f"it has format_version {found}, this Nextfill reads {FORMAT_VERSION}"
        )
    if not is_whole(meta):
        raise DamagedStoreError(path, "meta.json does not hold what was written to it")
    return meta  # type: ignore[no-any-return]


def check_files(path: Path, meta: Mapping[str, Any], *, verify: bool, fresh: bool = False) -> None:
    """Check the files of a store, and remember the states of those that were read and are whole."""
    with _reading(path, "meta.json"):
        memory = path / f"verified-{(path / 'meta.json').stat().st_dev:x}.json"
    recalled = recall(memory, meta[CHECKSUM])
    known: dict[str, Any] = recalled if isinstance(recalled, dict) else {}
    states: dict[str, list[int]] = {}
    for name, expected in _files(meta):
        with _reading(path, name):
            state = exact_state((path / name).stat())
            began_ns = time.time_ns()
            is_known = not verify and known.get(name) == list(state)
            if not is_known:
                _check_file(path, name, expected, fresh=fresh)
            if is_known or is_settled(state, began_ns):
                states[name] = list(state)
    if states and states != known:
        remember(memory, meta[CHECKSUM], states)


@contextmanager
def _reading(path: Path, name: str) -> Iterator[None]:
    """Turn what the system says of a file of a store into our errors."""
    try:
        yield
    except FileNotFoundError as error:
        what = f"{_of_shard(name)} is missing" if path.is_dir() else "it is not there"
        raise DamagedStoreError(path, what) from error
    except PermissionError as error:
        raise DataError(
            f"the token store {path} may not be read: permission denied for {name}, which belongs "
            f"to {owner(path)}. They may type: chmod -R g+rwX {path}; or name another folder with "
            "--cache-dir"
        ) from error
    except OSError as error:
        what = f"{_of_shard(name)} cannot be read: {error.strerror}"
        if error.errno in _PASSING:
            raise DataError(f"the token store {path}: {what}. Try again") from error
        raise DamagedStoreError(path, what) from error


def _files(meta: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the path of each file in the store, and what it must hold."""
    for shard, described in enumerate(meta["shards"]):
        for name, expected in described["files"].items():
            yield f"{shard_name(shard)}/{name}", expected


def _check_file(path: Path, name: str, expected: Mapping[str, Any], *, fresh: bool) -> None:
    file = path / name
    size = file.stat().st_size
    if size != expected["bytes"]:
        what = f"has {size:,} bytes, not {expected['bytes']:,}"
        raise DamagedStoreError(path, f"{_of_shard(name)} {what}")
    if fresh:
        _forget_pages(file)
    if file_checksum(file) != expected:
        raise DamagedStoreError(path, f"{_of_shard(name)} holds other bytes than were written")


def _forget_pages(file: Path) -> None:
    """Ask the system to forget what it holds of a file that is on the disk."""
    if hasattr(os, "posix_fadvise"):
        descriptor = os.open(file, os.O_RDONLY)
        try:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)


def _of_shard(name: str) -> str:
    """Return what messages call a file of a store."""
    shard, slash, file = name.partition("/")
    return f"{file} of shard {int(shard.removeprefix('shard-'))}" if slash else name
