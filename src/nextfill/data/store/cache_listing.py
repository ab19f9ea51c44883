"""What the cache holds, and how large it may grow."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from nextfill.core.checksums import is_whole
from nextfill.core.errors import ConfigError, DataError
from nextfill.core.shared_cache import UNREADABLE, owner
from nextfill.data.records.input_files import FOLDER as INPUTS
from nextfill.data.records.input_files import live_name
from nextfill.data.store.integrity import FORMAT_VERSION

LIMIT = "NEXTFILL_CACHE_LIMIT"
DEFAULT_SHARE = 0.25
"""Of the disk that the cache lies on, where the environment names no limit."""

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)B?", re.IGNORECASE)
_AGE = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw])", re.IGNORECASE)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


@dataclass(frozen=True)
class Entry:
    """Something that the cache holds.

    Args:
        kind: ``tokens`` for a token store, ``input`` for data handed over from Python,
            ``unfinished`` for what a process was making when it ended, or is making now.
        name: What the data are called.
        path: Where it lies.
        size_bytes: Its size on the disk.
        used_s: When it was last used, in seconds since 1970.
        documents: Documents of a token store.
        tokens: Tokens of a token store.
    """

    kind: Literal["tokens", "input", "unfinished"]
    name: str
    path: Path
    size_bytes: int
    used_s: float
    documents: int | None = None
    tokens: int | None = None


def entries(cache: Path) -> list[Entry]:
    """List what the cache holds, the last used first."""
    found = [*_stores(cache / "stores"), *_inputs(cache / INPUTS)]
    return sorted(found, key=lambda entry: -entry.used_s)


def _list(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise DataError(
            f"{folder} may not be listed: {error.strerror}. It belongs to {owner(folder)}, who may "
            f"type: chmod g+rwx {folder}; or name another folder with --cache-dir"
        ) from error


def _stores(folder: Path) -> Iterator[Entry]:
    for path in _list(folder):
        with suppress(FileNotFoundError):  # removed by another process meanwhile
            if not path.is_dir():
                continue
            size, used_s = _size_bytes(path), path.stat().st_mtime
            if ".tmp-" in path.name:
                yield Entry("unfinished", path.name, path, size, used_s)
            else:
                yield _store(path, size, used_s)


def _store(path: Path, size: int, used_s: float) -> Entry:
    """Describe a token store, also one that cannot be read."""
    file = path / "meta.json"
    try:
        meta = json.loads(file.read_bytes())
        totals = meta["totals"]["documents"], meta["totals"]["tokens"]
        name = str(meta.get("name") or "unnamed")
        if meta["format_version"] == FORMAT_VERSION and not is_whole(meta):
            return Entry("tokens", "damaged", path, size, used_s)
        return Entry("tokens", name, path, size, file.stat().st_mtime, *totals)
    except PermissionError:
        return Entry("tokens", f"closed to others by {owner(path)}", path, size, used_s)
    except (*UNREADABLE, KeyError, TypeError, AttributeError):
        return Entry("tokens", "damaged", path, size, used_s)


def _size_bytes(folder: Path) -> int:
    """Return the size of the files in a folder, as far as they can be seen."""
    size = 0
    for above, _, files in os.walk(folder):
        for name in files:
            with suppress(OSError):
                size += Path(above, name).stat().st_size
    return size


def _inputs(folder: Path) -> Iterator[Entry]:
    for path in _list(folder):
        with suppress(FileNotFoundError):
            stat = path.stat()
            name = live_name(path)
            kind: Literal["input", "unfinished"] = "input" if name else "unfinished"
            yield Entry(kind, name or path.name, path, stat.st_size, stat.st_mtime)


def limit_bytes(cache: Path) -> int:
    """Return how large the cache may grow: what the environment says, else a share of the disk."""
    told = os.environ.get(LIMIT)
    if told:
        return parse_size(told, LIMIT)
    there = cache
    while not there.exists():
        there = there.parent
    return int(shutil.disk_usage(there).total * DEFAULT_SHARE)


def parse_size(text: str, label: str) -> int:
    """Return the bytes of a size such as ``20GB``.

    Example:
        >>> parse_size("1.5 GB", "--max-size")
        1500000000
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ConfigError([f"{label}: found {text!r}; expected a size such as 500MB or 20GB."])
    return int(float(match[1]) * _UNITS[match[2].upper()])


def parse_age(text: str, label: str) -> float:
    """Return the seconds of an age such as ``30d``.

    Example:
        >>> parse_age("12h", "--older-than")
        43200.0
    """
    match = _AGE.fullmatch(text.strip())
    if match is None:
        raise ConfigError([f"{label}: found {text!r}; expected an age such as 12h, 30d or 8w."])
    return float(match[1]) * _SECONDS[match[2].lower()]
