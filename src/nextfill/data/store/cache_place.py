"""The place of token stores: the cache folder, the most that it may hold, and what was removed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nextfill.core.amounts import amount, verb
from nextfill.core.cache_amounts import parse_size
from nextfill.core.errors import ConfigError
from nextfill.core.paths import is_address, user_path
from nextfill.data.store.store_address import StoreAddress

LIMIT_FLAG = "--cache-limit"

STORES = "stores"
"""The folder of a cache that token stores lie in."""


@dataclass
class Removals:
    """What one job removed from the cache: told at the first time, and counted from then on.

    Args:
        times: How often something was removed.
        entries: How much was.
        size_bytes: The size of it.
        is_refused: Whether something was not this user's to remove, which is told once.
    """

    times: int = 0
    entries: int = 0
    size_bytes: int = 0
    is_refused: bool = False

    def add(self, entries: int, size_bytes: int) -> bool:
        """Count what was removed, and return whether it is to be told."""
        self.times += 1
        self.entries += entries
        self.size_bytes += size_bytes
        return self.times == 1

    def in_words(self) -> str:
        """Return the count, or nothing where the first time was the only one.

        Example:
            >>> removals = Removals()
            >>> removals.add(1, 2_000_000), removals.in_words()
            (True, '')
            >>> removals.add(3, 8_000_000)
            False
            >>> removals.in_words()
            'to keep the cache within its limit, 4 token stores (10 MB) were removed in all'
        """
        if self.times < 2:
            return ""
        return (
            f"to keep the cache within its limit, {amount(self.entries, 'token store')} "
            f"({self.size_bytes / 1e6:,.0f} MB) {verb(self.entries, 'was', 'were')} removed in all"
        )


@dataclass(frozen=True)
class CachePlace:
    """Where token stores lie on this machine.

    Args:
        folder: The cache folder.
        limit_bytes: The most that it may hold; None for what the environment says.
        removals: Counts what is removed; None where each removal is told.
        store: Where stores are kept for many machines; None where they are kept here alone.
    """

    folder: Path
    limit_bytes: int | None = None
    removals: Removals | None = None
    store: StoreAddress | None = None


Cache = Path | CachePlace
"""A place of token stores; a folder alone has the limit that the environment says."""


def place_of(cache: Cache) -> CachePlace:
    """Return the place that a folder alone is, too.

    Example:
        >>> place_of(Path("cache")).limit_bytes is None
        True
    """
    return cache if isinstance(cache, CachePlace) else CachePlace(cache)


def limit_of(typed: str | None) -> int | None:
    """Return the bytes of a limit as it is typed.

    Example:
        >>> limit_of("200MB"), limit_of(None)
        (200000000, None)
    """
    return None if typed is None else parse_size(typed, LIMIT_FLAG)


def store_at(typed: str, cache: Path) -> StoreAddress:
    """Return the address of stores as it is typed, a folder's whole path.

    Raises:
        ConfigError: It lies in the cache, whose stores are removed, or in this process's memory.
    """
    if typed.lower().startswith("memory:"):
        raise ConfigError(
            [f"--store {typed!r} ends with this process: expected a folder, or s3://, gs://."]
        )
    if is_address(typed):
        return StoreAddress(typed)
    folder = user_path(typed, "--store").absolute()
    inside = cache.absolute() / STORES
    if folder.resolve() == inside.resolve() or inside.resolve() in folder.resolve().parents:
        raise ConfigError(
            [
                f"--store {typed!r} lies in the cache itself, where stores are removed to make "
                "room: expected another folder."
            ]
        )
    return StoreAddress(str(folder))
