"""What the cache holds, how large it is, and what is removed from it.

Token stores can be made again, so the ones unused for longest go when the cache grows over its
limit. Data handed over from Python (``inputs``) cannot: they go only when that is asked for.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from nextfill.data.live.files import FOLDER as INPUTS
from nextfill.data.live.files import live_name
from nextfill.data.tokens.locks import unused
from nextfill.errors import ConfigError

logger = logging.getLogger("nextfill")

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


def _stores(folder: Path) -> Iterator[Entry]:
    for path in folder.iterdir() if folder.is_dir() else ():
        with suppress(FileNotFoundError):  # removed by another process meanwhile
            if not path.is_dir():
                continue
            size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
            if ".tmp-" in path.name:
                yield Entry("unfinished", path.name, path, size, path.stat().st_mtime)
                continue
            meta_path = path / "meta.json"
            try:
                meta = json.loads(meta_path.read_text(encoding="utf-8"))
                totals = meta["totals"]["documents"], meta["totals"]["tokens"]
                name = str(meta.get("name") or "unnamed")
            except (OSError, ValueError, KeyError, TypeError):
                yield Entry("tokens", "damaged", path, size, path.stat().st_mtime)
            else:
                yield Entry("tokens", name, path, size, meta_path.stat().st_mtime, *totals)


def _inputs(folder: Path) -> Iterator[Entry]:
    for path in folder.iterdir() if folder.is_dir() else ():
        with suppress(FileNotFoundError):
            stat = path.stat()
            name = live_name(path)
            kind: Literal["input", "unfinished"] = "input" if name else "unfinished"
            yield Entry(kind, name or path.name, path, stat.st_size, stat.st_mtime)


def limit_bytes(cache: Path) -> int:
    """Return how large the cache may grow: what the environment says, else a share of the disk.

    Raises:
        ConfigError: If the environment says no size.
    """
    told = os.environ.get(LIMIT)
    if told:
        return parse_size(told, LIMIT)
    there = cache
    while not there.exists():
        there = there.parent
    return int(shutil.disk_usage(there).total * DEFAULT_SHARE)


def parse_size(text: str, label: str) -> int:
    """Return the bytes of a size such as ``20GB``.

    Raises:
        ConfigError: If it is none.

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

    Raises:
        ConfigError: If it is none.

    Example:
        >>> parse_age("12h", "--older-than")
        43200.0
    """
    match = _AGE.fullmatch(text.strip())
    if match is None:
        raise ConfigError([f"{label}: found {text!r}; expected an age such as 12h, 30d or 8w."])
    return float(match[1]) * _SECONDS[match[2].lower()]


def make_room(
    found: Sequence[Entry], most_bytes: int, take: Callable[[Entry], bool]
) -> tuple[list[Entry], list[Entry]]:
    """Take token stores away, unused for longest first, until the rest fits.

    Args:
        found: What there is, the last used first.
        most_bytes: How much may stay.
        take: Takes one away, or says False where a process uses it.

    Returns:
        What was taken, and what was not because it is in use. Too little is taken if what is no
        store, or is in use, is larger by itself.

    Example:
        >>> old, new = (Entry("tokens", n, Path(n), 6, used) for n, used in [("a", 1), ("b", 2)])
        >>> [entry.name for entry in make_room([new, old], 10, lambda entry: True)[0]]
        ['a']
    """
    over = sum(entry.size_bytes for entry in found) - most_bytes
    taken: list[Entry] = []
    in_use: list[Entry] = []
    for entry in reversed(found):
        if over <= 0:
            break
        if entry.kind != "tokens":
            continue
        if take(entry):
            taken.append(entry)
            over -= entry.size_bytes
        else:
            in_use.append(entry)
    return taken, in_use


def is_free(entry: Entry) -> bool:
    """Say whether no process uses an entry."""
    if entry.kind != "tokens":
        return True
    with unused(entry.path) as free:
        return free


def remove(entry: Entry) -> bool:
    """Remove an entry, unless a process uses it.

    Args:
        entry: From `entries`.

    Returns:
        Whether it is gone.
    """
    if entry.kind != "tokens":
        shutil.rmtree(entry.path) if entry.path.is_dir() else entry.path.unlink(missing_ok=True)
        return True
    with unused(entry.path) as free:
        if not free:
            return False
        # Renamed first, so that nobody finds half of it.
        aside = entry.path.with_name(f"{entry.path.name}.tmp-removed-{time.time_ns()}")
        with suppress(FileNotFoundError):
            entry.path.rename(aside)
        shutil.rmtree(aside, ignore_errors=True)
    return True


def keep_within_limit(cache: Path, *, spared: Path) -> None:
    """Remove stores unused for longest until the cache is within its limit.

    Args:
        cache: The cache folder.
        spared: A store that stays in any case.
    """
    most = limit_bytes(cache)
    gone, _ = make_room(entries(cache), most, lambda one: one.path != spared and remove(one))
    if gone:
        freed = sum(entry.size_bytes for entry in gone)
        logger.warning(
            "the cache was over its limit of %.1f GB: removed %d token stores unused for longest "
            "(%.1f GB), which are made again when needed; set %s for another limit",
            *(most / 1e9, len(gone), freed / 1e9, LIMIT),
        )
