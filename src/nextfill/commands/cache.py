"""`nextfill cache list`, `size` and `prune`."""

from __future__ import annotations

from typing import Any

from nextfill.commands.command import JSON, Command
from nextfill.config import CacheConfig, PruneConfig
from nextfill.flags import CommandLine


def _list(line: CommandLine) -> Any:
    from nextfill.api.caching import list_from

    return list_from(line.given, line.problems)


def _prune(line: CommandLine) -> Any:
    from nextfill.api.caching import prune_from

    return prune_from(line.given, line.problems)


def _size(line: CommandLine) -> Any:
    listing = _list(line)
    plain = listing.to_json()
    kinds = ("tokens", "input", "unfinished")
    by_kind = {
        kind: sum(entry.size_bytes for entry in listing.entries if entry.kind == kind)
        for kind in kinds
    }
    return {key: plain[key] for key in ("cache", "size_bytes", "limit_bytes")} | {
        "by_kind": by_kind
    }


def _show_list(result: Any) -> None:
    from nextfill.show import show_listing

    show_listing(result)


def _show_size(result: Any) -> None:
    from nextfill.show import show_size

    show_size(result)


def _show_pruning(result: Any) -> None:
    from nextfill.show import show_pruning

    show_pruning(result)


CACHE_LIST = Command(
    "List what the cache holds, the last used first.",
    CacheConfig,
    (JSON,),
    _list,
    _show_list,
)
CACHE_SIZE = Command(
    "Say how large the cache is, and how large it may grow.",
    CacheConfig,
    (JSON,),
    _size,
    _show_size,
)
CACHE_PRUNE = Command(
    "Remove from the cache what was not used for long.",
    PruneConfig,
    (JSON,),
    _prune,
    _show_pruning,
)
