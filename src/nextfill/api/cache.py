"""The verbs `list_cache` and `prune_cache`."""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nextfill.api.verb import Request, request_of, show_settings
from nextfill.config import CacheConfig, PruneConfig
from nextfill.config.layers import build
from nextfill.core.ranks import check_one_process
from nextfill.data.store.cache_listing import Entry, entries, limit_bytes, parse_age, parse_size
from nextfill.data.store.eviction import (
    STALE_S,
    Outcome,
    foresee,
    is_left,
    make_room,
    remove,
    sweep,
)
from nextfill.data.store.store_cache import cache_dir

DEFAULT_AGE = "30d"


@dataclass(frozen=True)
class CacheListing:
    """What the cache holds.

    Args:
        cache: The folder.
        entries: What it holds, the last used first.
        limit_bytes: How large it may grow before token stores are removed.
    """

    cache: Path
    entries: tuple[Entry, ...]
    limit_bytes: int

    @property
    def size_bytes(self) -> int:
        """The size of all of it."""
        return sum(entry.size_bytes for entry in self.entries)

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {
            "cache": str(self.cache),
            "size_bytes": self.size_bytes,
            "limit_bytes": self.limit_bytes,
            "entries": [_plain(entry) for entry in self.entries],
        }


@dataclass(frozen=True)
class Pruning:
    """What was removed from the cache.

    Args:
        cache: The folder.
        removed: What is gone; with ``dry_run``, what would be.
        in_use: What stays because a process uses it.
        not_allowed: What stays because it belongs to another user, who keeps it from others.
        size_bytes: What is left.
        dry_run: Whether nothing was done.
    """

    cache: Path
    removed: tuple[Entry, ...]
    in_use: tuple[Entry, ...]
    not_allowed: tuple[Entry, ...]
    size_bytes: int
    dry_run: bool

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {
            "cache": str(self.cache),
            "removed": [_plain(entry) for entry in self.removed],
            "in_use": [_plain(entry) for entry in self.in_use],
            "not_allowed": [_plain(entry) for entry in self.not_allowed],
            "size_bytes": self.size_bytes,
            "dry_run": self.dry_run,
        }


def _plain(entry: Entry) -> dict[str, Any]:
    return {**asdict(entry), "path": str(entry.path)}


def list_cache(**keywords: Any) -> CacheListing:
    """List what the cache holds: token stores, and data handed over from Python.

    Args:
        **keywords: Any setting, named like its flag.

    Returns:
        The entries with their sizes and times of last use.

    Raises:
        ConfigError: With every setting that cannot be used.
        DataError: If the cache may not be listed.

    Example:
        >>> import tempfile, nextfill
        >>> nextfill.list_cache(cache_dir=tempfile.mkdtemp()).entries
        ()
    """
    return list_from(request_of(CacheConfig, keywords))


def list_from(request: Request) -> CacheListing:
    """Do the work of `list_cache`, for the function and for the command."""
    cache = cache_dir(build(CacheConfig, [request.settings], request.problems).cache_dir)
    return CacheListing(cache, tuple(entries(cache)), limit_bytes(cache))


def prune_cache(**keywords: Any) -> Pruning:
    """Remove from the cache what was not used for long; what a process uses stays.

    Args:
        **keywords: Any setting, named like its flag.

    Returns:
        What was removed.

    Raises:
        ConfigError: With every setting that cannot be used.
        DataError: If the cache may not be listed.

    Example:
        >>> import tempfile, nextfill
        >>> nextfill.prune_cache(cache_dir=tempfile.mkdtemp(), older_than="8w").removed
        ()
    """
    return prune_from(request_of(PruneConfig, keywords))


def prune_from(request: Request) -> Pruning:
    """Do the work of `prune_cache`, for the function and for the command."""
    check_one_process("remove from the cache")
    config = build(PruneConfig, [request.settings], request.problems)
    cache = cache_dir(config.cache_dir)
    by_size = config.max_size is not None
    age = config.older_than or (None if by_size else DEFAULT_AGE)
    oldest_s = math.inf if age is None else parse_age(age, "--older-than")
    most_bytes = parse_size(config.max_size, "--max-size") if config.max_size is not None else None
    found = entries(cache)
    take = foresee if config.dry_run else remove
    outcomes: dict[Outcome, list[Entry]] = {"removed": [], "in use": [], "not allowed": []}
    for entry in found:
        if _is_old(entry, oldest_s, inputs=config.inputs):
            outcomes[take(entry)].append(entry)
    if most_bytes is not None:
        rest = [entry for entry in found if entry not in outcomes["removed"]]
        for outcome, some in make_room(rest, most_bytes, take).items():
            outcomes[outcome] += [entry for entry in some if entry not in outcomes[outcome]]
    if not config.dry_run:
        sweep(cache)
    gone = tuple(outcomes["removed"])
    left = sum(entry.size_bytes for entry in found if entry not in gone)
    stays = tuple(outcomes["in use"]), tuple(outcomes["not allowed"])
    return Pruning(cache, gone, *stays, left, config.dry_run)


def _is_old(entry: Entry, oldest_s: float, *, inputs: bool) -> bool:
    """Return whether an entry was unused for long enough to go."""
    age_s = time.time() - entry.used_s
    if entry.kind == "unfinished":
        return age_s > STALE_S if entry.path.is_file() else is_left(entry.path)
    return age_s >= oldest_s and (entry.kind == "tokens" or inputs)


show_settings(list_cache, CacheConfig)
show_settings(prune_cache, PruneConfig)
