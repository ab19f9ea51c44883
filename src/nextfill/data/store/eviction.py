"""The size of the cache: its entries, its limit, and the removal of what no process uses."""

from __future__ import annotations

import json
import logging
import os
import shutil
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from nextfill.core.checksums import is_whole
from nextfill.core.errors import DataError
from nextfill.core.locks import is_held, unused
from nextfill.core.shared_cache import UNREADABLE, owner
from nextfill.core.shell_command import shell_word
from nextfill.data.records.files import INPUTS, live_name
from nextfill.data.store.cache_amounts import parse_size
from nextfill.data.store.pieces import IN_PIECES
from nextfill.data.store.token_store import FORMAT_VERSION
from nextfill.data.store.tokenizer_backend import BACKEND
from nextfill.data.store.tokenizer_backend import FOLDER as TOKENIZERS

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

CONVERTED = "converted"
"""Folder of the cache with models in the form of another library."""

_MADE_AGAIN = ("tokens", "model")
"""Kinds of entries that are made again when they are missed."""


@dataclass(frozen=True)
class CacheEntry:
    """A file or folder of the cache.

    Args:
        kind: ``tokens`` for a token store, ``model`` for one converted for CTranslate2, ``input``
            for data of a Python program, ``tokenizer`` for the part of a tokenizer that encodes,
            ``unfinished`` for a folder that a process is writing, or left when it ended.
        name: The name of the data, or the file's where it has none.
        used_s: The time of its last use, in seconds since 1970.
        documents: Documents of a token store; None for other kinds, and likewise the tokens.
    """

    kind: Literal["tokens", "model", "input", "tokenizer", "unfinished"]
    name: str
    path: Path
    size_bytes: int
    used_s: float
    documents: int | None = None
    tokens: int | None = None


def entries(cache: Path) -> list[CacheEntry]:
    """List the entries of the cache, the last used first."""
    backends = _backends(cache / TOKENIZERS)
    stores, models = _stores(cache / "stores"), _models(cache / CONVERTED)
    all_entries = [*stores, *models, *_inputs(cache / INPUTS), *backends]
    return sorted(all_entries, key=lambda entry: -entry.used_s)


def _list(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise DataError(
            f"{folder} may not be listed: {error.strerror}. It belongs to {owner(folder)}, who may "
            f"type: chmod g+rwx {shell_word(folder)}; or name another folder with --cache-dir"
        ) from error


def _stores(folder: Path) -> Iterator[CacheEntry]:
    for path in _list(folder):
        with suppress(FileNotFoundError):  # removed by another process meanwhile
            if not path.is_dir():
                continue
            size, used_s = _size_bytes(path), path.stat().st_mtime
            if ".tmp-" in path.name:
                yield CacheEntry("unfinished", path.name, path, size, used_s)
            else:
                yield _store(path, size, used_s)


def _store(path: Path, size: int, used_s: float) -> CacheEntry:
    """Describe a token store, even one that cannot be read."""
    file = path / "meta.json"
    try:
        meta = json.loads(file.read_bytes())
        # Of documents in pieces each record gave one.
        in_pieces = IN_PIECES in meta.get("key", {})
        documents = meta["counts"]["with_text"] if in_pieces else meta["totals"]["documents"]
        totals = documents, meta["totals"]["tokens"]
        name = str(meta.get("name") or "unnamed")
        if meta["format_version"] == FORMAT_VERSION and not is_whole(meta):
            return CacheEntry("tokens", "damaged", path, size, used_s)
        return CacheEntry("tokens", name, path, size, file.stat().st_mtime, *totals)
    except PermissionError:
        return CacheEntry("tokens", f"closed to others by {owner(path)}", path, size, used_s)
    except (*UNREADABLE, KeyError, TypeError, AttributeError):
        return CacheEntry("tokens", "damaged", path, size, used_s)


def _models(folder: Path) -> Iterator[CacheEntry]:
    for path in _list(folder):
        with suppress(FileNotFoundError):  # removed by another process meanwhile
            size, used_s = _size_bytes(path), path.stat().st_mtime
            if ".tmp-" in path.name:
                yield CacheEntry("unfinished", path.name, path, size, used_s)
                continue
            try:
                name = str(json.loads((path / "meta.json").read_bytes())["name"])
                used_s = (path / "meta.json").stat().st_mtime
            except (OSError, ValueError, KeyError, TypeError):
                name = "damaged"
            yield CacheEntry("model", name, path, size, used_s)


def _size_bytes(folder: Path) -> int:
    """Add up the sizes of the files in a folder, as far as they are readable."""
    size = 0
    for above, _, files in os.walk(folder):
        for name in files:
            with suppress(OSError):
                size += Path(above, name).stat().st_size
    return size


def _inputs(folder: Path) -> Iterator[CacheEntry]:
    for path in _list(folder):
        with suppress(FileNotFoundError):
            stat = path.stat()
            name = live_name(path)
            kind: Literal["input", "unfinished"] = "input" if name else "unfinished"
            yield CacheEntry(kind, name or path.name, path, stat.st_size, stat.st_mtime)


def _backends(folder: Path) -> Iterator[CacheEntry]:
    for path in _list(folder):
        if path.suffix == BACKEND:
            with suppress(FileNotFoundError):
                stat = path.stat()
                yield CacheEntry("tokenizer", path.stem[:12], path, stat.st_size, stat.st_mtime)


def limit_bytes(cache: Path) -> int:
    """Return the most bytes of the cache: the environment's limit, else a share of the disk."""
    if limit := os.environ.get(LIMIT):
        return parse_size(limit, LIMIT)
    existing = cache
    while not existing.exists():
        existing = existing.parent
    return int(shutil.disk_usage(existing).total * DEFAULT_SHARE)


def keep_within_limit(cache: Path, *, spared: Path) -> None:
    """Remove stores, unused for longest first, until the cache is within its limit."""
    most = limit_bytes(cache)
    try:
        cached = entries(cache)
    except DataError as error:
        logger.warning("how large the cache is cannot be told: %s", error)
        return
    outcomes = make_room(cached, most, lambda one: "in use" if one.path == spared else remove(one))
    if gone := outcomes["removed"]:
        freed = sum(entry.size_bytes for entry in gone)
        logger.warning(
            "the cache was over its limit of %.1f GB: removed %s unused for longest "
            "(%.1f GB), which are made again when needed; set %s for another limit",
            *(most / 1e9, _counted(gone), freed / 1e9, LIMIT),
        )
    if refused := outcomes["not allowed"]:
        logger.warning(
            "the cache is over its limit of %.1f GB, and %s unused for longest are "
            "not this user's to remove; set %s for another limit",
            *(most / 1e9, _counted(refused), LIMIT),
        )


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
