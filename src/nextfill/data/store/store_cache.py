"""Where token stores lie, and when one is used again."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from nextfill.core.errors import DataError
from nextfill.core.locks import keep, making, open_lock
from nextfill.core.paths import user_path
from nextfill.core.shared_cache import owner
from nextfill.data.document import Document, ReadCounts
from nextfill.data.store.encoder import Encoder, EngineMismatchError, fingerprint_of
from nextfill.data.store.eviction import keep_within_limit, sweep
from nextfill.data.store.integrity import FORMAT_VERSION, DamagedStoreError
from nextfill.data.store.token_store import TokenStore
from nextfill.data.store.writer import write_store, writing

logger = logging.getLogger("nextfill")


def cache_dir(override: str | None = None) -> Path:
    """Return the cache folder: ``--cache-dir``, else NEXTFILL_CACHE, else ``~/.cache/nextfill``.

    Example:
        >>> cache_dir("somewhere").name
        'somewhere'
    """
    from_environment = os.environ.get("NEXTFILL_CACHE")
    flag = "--cache-dir" if override or not from_environment else "NEXTFILL_CACHE"
    chosen = override or from_environment or "~/.cache/nextfill"
    return user_path(chosen, flag).absolute()


def store_key(parts: Mapping[str, object]) -> str:
    """Return the name of the store that is made from ``parts``.

    Example:
        >>> store_key({"a": 1, "b": 2}) == store_key({"b": 2, "a": 1})
        True
    """
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def open_or_write(
    cache: Path,
    parts: Mapping[str, object],
    read: Callable[[], tuple[Iterable[Document], ReadCounts]],
    tokenizer: object,
    *,
    name: str = "",
    shard_tokens: int = 1 << 24,
    verify: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
    on_wait: Callable[[], None] = lambda: None,
) -> tuple[TokenStore, bool]:
    """Open the store made from ``parts``, or make it; a process that makes it is waited for."""
    key = {**parts, "tokenizer": fingerprint_of(tokenizer), "format_version": FORMAT_VERSION}
    path = cache / "stores" / store_key(key)
    with suppress(DamagedStoreError):  # found again where nobody else is replacing it
        if (found := _open(path, verify=verify)) is not None:
            return found, True
    with writing(path.parent):
        lock = open_lock(cache / "locks" / path.name)
    with making(lock, on_wait):
        try:
            if (found := _open(path, verify=verify)) is not None:  # whoever was waited for made it
                return found, True
        except DamagedStoreError as error:
            _put_aside(error)
        _tell_of_older(path, key)
        sweep(cache)
        options = {"name": name, "shard_tokens": shard_tokens, "on_progress": on_progress}
        store = _write(path, read, tokenizer, {"key": key, **options})
        keep(path)
    keep_within_limit(cache, spared=path)
    return store, False


def _open(path: Path, *, verify: bool) -> TokenStore | None:
    """Return the store at a path and mark it as used, or None if there is none."""
    if not keep(path) and not os.path.lexists(path):
        return None
    store = TokenStore.open(path, verify=verify)
    if store_key(store.meta["key"]) != path.name:
        raise DamagedStoreError(path, "it was made from other data, or with other settings")
    with suppress(OSError):  # a cache that may only be read
        os.utime(path / "meta.json")  # its age is the time since the last use
    return store


def _tell_of_older(path: Path, key: Mapping[str, object]) -> None:
    """Say that a store of an earlier version, of the same data, is not read."""
    older = path.with_name(store_key({**key, "format_version": FORMAT_VERSION - 1}))
    if older.is_dir():
        logger.warning(
            "the token store %s was made by an earlier Nextfill and is made again; `nextfill cache "
            "prune` removes it once it has not been used for 30 days",
            older,
        )


def _write(
    path: Path,
    read: Callable[[], tuple[Iterable[Document], ReadCounts]],
    tokenizer: object,
    options: Mapping[str, Any],
) -> TokenStore:
    documents, counts = read()
    try:
        return write_store(path, documents, Encoder(tokenizer), counts=counts, **options)
    except EngineMismatchError as error:
        logger.warning("%s; this is being done", error)
        documents, counts = read()
        encoder = Encoder(tokenizer, engine="tokenizers")
        return write_store(path, documents, encoder, counts=counts, **options)


def _put_aside(error: DamagedStoreError) -> None:
    """Move a damaged store to where it is swept later; another process may be reading it."""
    path = error.path
    aside = path.with_name(f"{path.name}.tmp-damaged-{os.getpid()}-{time.time_ns()}")
    try:
        path.rename(aside)
    except FileNotFoundError:  # another process has put it aside
        return
    except OSError as refused:
        raise DataError(
            f"the token store {path} is damaged and cannot be replaced: {error.what}; "
            f"{refused.strerror}. It belongs to {owner(path)}, who may delete it; or name another "
            "folder with --cache-dir"
        ) from refused
    with suppress(OSError):  # another user's
        os.utime(aside)  # its age counts from now
    logger.warning(
        "the token store %s is damaged: %s; it is put aside and made again", path, error.what
    )
