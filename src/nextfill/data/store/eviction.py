"""The size of the cache: its limit, and the removal of what no process uses."""

from __future__ import annotations

import logging
import os
import shutil
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal

from nextfill.core.cache_amounts import parse_size
from nextfill.core.errors import DataError
from nextfill.core.locks import is_held, unused
from nextfill.data.store.cache_entries import CONVERTED, CacheEntry, entries
from nextfill.data.store.cache_place import LIMIT_FLAG, Cache, place_of

logger = logging.getLogger("nextfill")

Outcome = Literal["removed", "in use", "not allowed"]

LIMIT = "NEXTFILL_CACHE_LIMIT"
DEFAULT_SHARE = 0.25
"""Share of the cache's disk that it may fill, where the environment names no limit."""

STALE_S = 24 * 3600.0
"""Age at which an unfinished store is abandoned, even where no lock shows it."""

_STARTING_S = 60.0
"""Most time that a process takes from making a folder to locking it."""

_ASIDE = (".tmp-damaged-", ".tmp-removed-")
"""Marks in the names of stores that were whole once, which others may be reading."""

_FILES = ("inputs", "digests", "tokenizers", "stores/*", "stores/*/shard-*")
"""Folders in which files are written beside their places."""

_MADE_AGAIN = ("tokens", "model")
"""Kinds of entries that are made again when they are missed."""


def limit_bytes(cache: Path) -> int:
    """Return the most bytes of the cache: the environment's limit, else a share of the disk."""
    if limit := os.environ.get(LIMIT):
        return parse_size(limit, LIMIT)
    existing = cache
    while not existing.exists():
        existing = existing.parent
    return int(shutil.disk_usage(existing).total * DEFAULT_SHARE)


def keep_within_limit(cache: Cache, *, spared: Path, room_bytes: int = 0) -> None:
    """Remove stores, unused for longest first, until the cache is within its limit.

    Beyond that, ``room_bytes`` are made free for what is about to be written.
    """
    place = place_of(cache)
    most = limit_bytes(place.folder) if place.limit_bytes is None else place.limit_bytes
    try:
        cached = entries(place.folder)
    except DataError as error:
        logger.warning("how large the cache is cannot be told: %s", error)
        return
    outcomes = make_room(
        cached, most - room_bytes, lambda one: "in use" if one.path == spared else remove(one)
    )
    if gone := outcomes["removed"]:
        freed = sum(entry.size_bytes for entry in gone)
        removals = place.removals
        if removals is None or removals.add(len(gone), freed):
            logger.warning(
                "the cache %s its limit of %s: removed %s unused for longest (%s), which are made "
                "again when needed%s; give %s, or set %s, for another limit",
                *("would be over" if room_bytes else "was over", _size(most), _counted(gone)),
                _size(freed),
                ""
                if removals is None
                else "; what is removed after that is counted, and told at the end",
                *(LIMIT_FLAG, LIMIT),
            )
    if refused := outcomes["not allowed"]:
        if place.removals is not None:
            if place.removals.is_refused:
                return
            place.removals.is_refused = True
        logger.warning(
            "the cache is over its limit of %s, and %s unused for longest are "
            "not this user's to remove; give %s, or set %s, for another limit",
            *(_size(most), _counted(refused), LIMIT_FLAG, LIMIT),
        )


def _size(size_bytes: int) -> str:
    """Return a size for messages, as it is typed."""
    return f"{size_bytes / 1e9:.1f} GB" if size_bytes >= 1e9 else f"{size_bytes / 1e6:.1f} MB"


def _counted(some: Sequence[CacheEntry]) -> str:
    """Return the number of entries of each kind in words."""
    stores = sum(entry.kind == "tokens" for entry in some)
    counts = [(stores, "token stores"), (len(some) - stores, "converted models")]
    return " and ".join(f"{count} {words}" for count, words in counts if count)


def make_room(
    cached: Sequence[CacheEntry], most_bytes: int, take: Callable[[CacheEntry], Outcome]
) -> dict[Outcome, list[CacheEntry]]:
    """Call ``take`` on what is made again, unused for longest first, until the rest fits.

    Example:
        >>> old, new = (CacheEntry("tokens", n, Path(n), 6, s) for n, s in [("a", 1), ("b", 2)])
        >>> room = make_room([new, old], 10, lambda entry: "removed")
        >>> [entry.name for entry in room["removed"]]
        ['a']
    """
    over = sum(entry.size_bytes for entry in cached) - most_bytes
    outcomes: dict[Outcome, list[CacheEntry]] = {"removed": [], "in use": [], "not allowed": []}
    for entry in reversed(cached):
        if over <= 0:
            break
        if entry.kind not in _MADE_AGAIN:
            continue
        outcome = take(entry)
        outcomes[outcome].append(entry)
        if outcome == "removed":
            over -= entry.size_bytes
    return outcomes


def remove(entry: CacheEntry, *, dry_run: bool = False) -> Outcome:
    """Remove an entry, unless a process uses it or this user may not."""
    path = entry.path
    try:
        if not _may_remove(path):
            return "not allowed"
        if entry.kind in _MADE_AGAIN:
            with unused(path) as free:
                if free and not dry_run:  # renamed first, so that no process finds half of it
                    aside = path.with_name(f"{path.name}.tmp-removed-{time.time_ns()}")
                    path.rename(aside)
                    shutil.rmtree(aside, ignore_errors=True)
                return "removed" if free else "in use"
        if not dry_run:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    except FileNotFoundError:  # another process has removed it
        pass
    except PermissionError:
        return "not allowed"
    return "removed"


def foresee(entry: CacheEntry) -> Outcome:
    """Return the outcome that `remove` would have now."""
    return remove(entry, dry_run=True)


def _may_remove(path: Path) -> bool:
    """Check that the system lets this user remove a file, or a folder and all in it."""
    above = path.parent.stat()
    users = {0, above.st_uid, path.lstat().st_uid}
    if above.st_mode & stat.S_ISVTX and os.geteuid() not in users:
        return False
    folders = [path.parent]
    if path.is_dir():
        folders.append(path)
        for here, inside, _ in os.walk(path):
            folders += [Path(here, name) for name in inside]
    return all(os.access(folder, os.W_OK | os.X_OK) for folder in folders)


def sweep(cache: Path) -> None:
    """Remove unfinished stores whose processes are gone, and those put aside a day ago."""
    for path in _abandoned(cache):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with suppress(OSError):
                path.unlink()


def is_abandoned(folder: Path) -> bool:
    """Check that no process works on an unfinished store, or one that was put aside."""
    try:
        age_s = time.time() - folder.stat().st_mtime
    except OSError:  # its owner has just renamed it
        return False
    is_aside = any(mark in folder.name for mark in _ASIDE)
    held = None if is_aside else is_held(folder)
    return age_s > STALE_S if held is None else not held and age_s > _STARTING_S


def _abandoned(cache: Path) -> Iterator[Path]:
    for place in ("stores", CONVERTED):
        for folder in cache.glob(f"{place}/*.tmp-*"):
            if is_abandoned(folder):
                yield folder
    for place in _FILES:
        for file in cache.glob(f"{place}/.*.tmp"):
            with suppress(OSError):
                if time.time() - file.stat().st_mtime > STALE_S:
                    yield file
