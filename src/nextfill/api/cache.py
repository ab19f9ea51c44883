"""The verbs `list_cache` and `prune_cache`."""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nextfill.api.verb import keyword_settings, request_of
from nextfill.config import CacheConfig, PruneConfig
from nextfill.config.layers import build
from nextfill.core.cache_amounts import parse_age, parse_size
from nextfill.core.locks import check_one_process
from nextfill.data.store.cache_entries import CacheEntry, entries
from nextfill.data.store.eviction import (
    STALE_S,
    Outcome,
    foresee,
    is_abandoned,
    limit_bytes,
    make_room,
    remove,
    sweep,
)
from nextfill.data.store.store_cache import cache_dir

DEFAULT_AGE = "30d"


@dataclass(frozen=True)
class CacheListing:
    """The contents of the cache.

    Args:
        cache: The folder.
        entries: Token stores and data, the last used first.
        limit_bytes: The size above which token stores are removed.
    """

    cache: Path
    entries: tuple[CacheEntry, ...]
    limit_bytes: int

    @property
    def size_bytes(self) -> int:
        """The size of all entries."""
        return sum(entry.size_bytes for entry in self.entries)

    def to_json(self) -> dict[str, Any]:
        """Return the result as plain values."""
        return {
            "cache": str(self.cache),
            "size_bytes": self.size_bytes,
            "limit_bytes": self.limit_bytes,
            "entries": [_plain(entry) for entry in self.entries],
        }


@dataclass(frozen=True)
class Pruning:
    """Entries that were removed from the cache, and entries that were not.

    Args:
        cache: The folder.
        removed: The entries that are gone; with ``dry_run``, those that would be.
        in_use: The entries that stay because a process uses them.
        not_allowed: The entries that stay because another user owns and protects them.
        size_bytes: The size of the rest.
        dry_run: Whether nothing was removed.
    """

    cache: Path
    removed: tuple[CacheEntry, ...]
    in_use: tuple[CacheEntry, ...]
    not_allowed: tuple[CacheEntry, ...]
    size_bytes: int
    dry_run: bool

    def to_json(self) -> dict[str, Any]:
        """Return the result as plain values."""
        return {
            "cache": str(self.cache),
            "removed": [_plain(entry) for entry in self.removed],
            "in_use": [_plain(entry) for entry in self.in_use],
            "not_allowed": [_plain(entry) for entry in self.not_allowed],
            "size_bytes": self.size_bytes,
            "dry_run": self.dry_run,
        }


def _plain(entry: CacheEntry) -> dict[str, Any]:
    return {**asdict(entry), "path": str(entry.path)}


@keyword_settings(CacheConfig)
def list_cache(**keywords: Any) -> CacheListing:
    """List the contents of the cache: token stores, tokenizers, and data handed over from Python.

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
    request = request_of(CacheConfig, keywords)
    cache = cache_dir(build(CacheConfig, [request.settings], request.problems).cache_dir)
    return CacheListing(cache, tuple(entries(cache)), limit_bytes(cache))


@keyword_settings(PruneConfig)
def prune_cache(**keywords: Any) -> Pruning:
    """Remove entries from the cache that were not used for long; those in use stay.

    Args:
        **keywords: Any setting, named like its flag.

    Returns:
        The entries that were removed.

    Raises:
        ConfigError: With every setting that cannot be used.
        DataError: If the cache may not be listed.

    Example:
        >>> import tempfile, nextfill
        >>> nextfill.prune_cache(cache_dir=tempfile.mkdtemp(), older_than="8w").removed
        ()
    """
    request = request_of(PruneConfig, keywords)
    check_one_process("remove from the cache")
    config = build(PruneConfig, [request.settings], request.problems)
    cache = cache_dir(config.cache_dir)
    by_size = config.max_size is not None
    age = config.older_than or (None if by_size else DEFAULT_AGE)
    oldest_s = math.inf if age is None else parse_age(age, "--older-than")
    most_bytes = parse_size(config.max_size, "--max-size") if config.max_size is not None else None
    listed = entries(cache)
    take = foresee if config.dry_run else remove
    outcomes: dict[Outcome, list[CacheEntry]] = {"removed": [], "in use": [], "not allowed": []}
    for entry in listed:
        if _is_old(entry, oldest_s, inputs=config.inputs):
            outcomes[take(entry)].append(entry)
    if most_bytes is not None:
        rest = [entry for entry in listed if entry not in outcomes["removed"]]
        for outcome, some in make_room(rest, most_bytes, take).items():
            outcomes[outcome] += [entry for entry in some if entry not in outcomes[outcome]]
    if not config.dry_run:
        sweep(cache)
    gone = tuple(outcomes["removed"])
    left = sum(entry.size_bytes for entry in listed if entry not in gone)
    stays = tuple(outcomes["in use"]), tuple(outcomes["not allowed"])
    return Pruning(cache, gone, *stays, left, config.dry_run)


def _is_old(entry: CacheEntry, oldest_s: float, *, inputs: bool) -> bool:
    """Return whether an entry was unused for long enough to go."""
    age_s = time.time() - entry.used_s
    if entry.kind == "unfinished":
        return age_s > STALE_S if entry.path.is_file() else is_abandoned(entry.path)
    return age_s >= oldest_s and (entry.kind != "input" or inputs)
