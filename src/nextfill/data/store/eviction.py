"""Removal from the cache: never of a store in use, nor of one that another user keeps."""

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

from nextfill.core.errors import DataError
from nextfill.core.locks import is_held, unused
from nextfill.data.store.cache_listing import LIMIT, Entry, entries, limit_bytes

STALE_S = 24 * 3600.0
"""So long after the last change nobody is at work on it, even where no lock can tell."""

_STARTING_S = 60.0
"""So long a process may take from making a folder to holding it."""

_ASIDE = (".tmp-damaged-", ".tmp-removed-")
"""Names of stores that were whole once, which others may be reading."""

_FILES = ("inputs", "digests", "tokenizers", "stores/*", "stores/*/shard-*")
"""Folders in which files are written beside their places."""


def sweep(cache: Path) -> None:
    """Remove unfinished stores whose processes are gone, and what was put aside a day ago."""
    for path in _left(cache):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with suppress(OSError):
                path.unlink()


def is_left(folder: Path) -> bool:
    """Say whether nobody is at work on an unfinished store, or one that was put aside."""
    try:
        age_s = time.time() - folder.stat().st_mtime
    except OSError:  # its owner has just renamed it
        return False
    is_aside = any(mark in folder.name for mark in _ASIDE)
    held = None if is_aside else is_held(folder)
    return age_s > STALE_S if held is None else not held and age_s > _STARTING_S


def _left(cache: Path) -> Iterator[Path]:
    for folder in cache.glob("stores/*.tmp-*"):
        if is_left(folder):
            yield folder
    for place in _FILES:
        for file in cache.glob(f"{place}/.*.tmp"):
            with suppress(OSError):
                if time.time() - file.stat().st_mtime > STALE_S:
                    yield file


logger = logging.getLogger("nextfill")

Outcome = Literal["removed", "in use", "not allowed"]


def make_room(
    found: Sequence[Entry], most_bytes: int, take: Callable[[Entry], Outcome]
) -> dict[Outcome, list[Entry]]:
    """Take token stores away, unused for longest first, until the rest fits.

    Example:
        >>> old, new = (Entry("tokens", n, Path(n), 6, used) for n, used in [("a", 1), ("b", 2)])
        >>> room = make_room([new, old], 10, lambda entry: "removed")
        >>> [entry.name for entry in room["removed"]]
        ['a']
    """
    over = sum(entry.size_bytes for entry in found) - most_bytes
    outcomes: dict[Outcome, list[Entry]] = {"removed": [], "in use": [], "not allowed": []}
    for entry in reversed(found):
        if over <= 0:
            break
        if entry.kind != "tokens":
            continue
        outcome = take(entry)
        outcomes[outcome].append(entry)
        if outcome == "removed":
            over -= entry.size_bytes
    return outcomes


def foresee(entry: Entry) -> Outcome:
    """Say what `remove` would do with an entry, and do nothing."""
    try:
        if not _may_remove(entry.path):
            return "not allowed"
        if entry.kind != "tokens":
            return "removed"
        with unused(entry.path) as free:
            return "removed" if free else "in use"
    except PermissionError:
        return "not allowed"
    except FileNotFoundError:  # another process has removed it
        return "removed"


def remove(entry: Entry) -> Outcome:
    """Remove an entry, unless a process uses it or this user may not."""
    outcome = foresee(entry)
    if outcome != "removed":
        return outcome
    try:
        if entry.kind != "tokens":
            shutil.rmtree(entry.path) if entry.path.is_dir() else entry.path.unlink()
            return "removed"
        with unused(entry.path) as free:
            if not free:
                return "in use"
            # Renamed first, so that nobody finds half of it.
            aside = entry.path.with_name(f"{entry.path.name}.tmp-removed-{time.time_ns()}")
            entry.path.rename(aside)
            shutil.rmtree(aside, ignore_errors=True)
    except FileNotFoundError:  # another process has removed it
        pass
    except PermissionError:
        return "not allowed"
    return "removed"


def keep_within_limit(cache: Path, *, spared: Path) -> None:
    """Remove stores unused for longest until the cache is within its limit."""
    most = limit_bytes(cache)
    try:
        found = entries(cache)
    except DataError as error:
        logger.warning("how large the cache is cannot be told: %s", error)
        return
    outcomes = make_room(found, most, lambda one: "in use" if one.path == spared else remove(one))
    if gone := outcomes["removed"]:
        freed = sum(entry.size_bytes for entry in gone)
        logger.warning(
            "the cache was over its limit of %.1f GB: removed %d token stores unused for longest "
            "(%.1f GB), which are made again when needed; set %s for another limit",
            *(most / 1e9, len(gone), freed / 1e9, LIMIT),
        )
    if refused := outcomes["not allowed"]:
        logger.warning(
            "the cache is over its limit of %.1f GB, and %d token stores unused for longest are "
            "not this user's to remove; set %s for another limit",
            *(most / 1e9, len(refused), LIMIT),
        )


def _may_remove(path: Path) -> bool:
    """Say whether the system lets this user remove a file or folder with all that is in it."""
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
