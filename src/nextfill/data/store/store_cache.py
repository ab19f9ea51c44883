"""The cache of token stores: opened by their keys, written where missing, joined if several."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nextfill.core.errors import DataError
from nextfill.core.locks import keep, making, open_lock
from nextfill.core.paths import user_path
from nextfill.core.shared_cache import owner
from nextfill.core.shell_command import shell_command
from nextfill.data.document import Document, ReadCounts, add_counts
from nextfill.data.store.cache_place import STORES, Cache, CachePlace, limit_of, place_of, store_at
from nextfill.data.store.disk_errors import writing
from nextfill.data.store.encoded_batch import EncodedBatch, EncodeTexts, encode_as_they_are
from nextfill.data.store.encoder import Encoder, Engine, EngineMismatchError
from nextfill.data.store.eviction import keep_within_limit, sweep
from nextfill.data.store.pieces import holds_pieces
from nextfill.data.store.store_copy import copy_of, forget_copy
from nextfill.data.store.store_fetch import fetch_store, is_kept, keep_at_address
from nextfill.data.store.store_integrity import FORMAT_VERSION, DamagedStoreError
from nextfill.data.store.store_upload import StoreUpload
from nextfill.data.store.token_store import TokenStore
from nextfill.data.store.tokenizer_backend import fingerprint_of
from nextfill.data.store.writer import EncodedDocuments, write_store

logger = logging.getLogger("nextfill")

ReadEncoded = Callable[[Encoder], tuple[Iterable[EncodedBatch], ReadCounts] | None]
"""From an encoder to documents that are encoded elsewhere, and the counts that fill up."""


def cache_dir(override: str | None = None) -> Path:
    """Return the cache folder: ``--cache-dir``, else NEXTFILL_CACHE, else the user's cache.

    That is ``nextfill`` in XDG_CACHE_HOME, or in ``~/.cache``. A relative path there is ignored, as
    the XDG Base Directory Specification asks.

    Example:
        >>> cache_dir("somewhere").name
        'somewhere'
    """
    from_environment = os.environ.get("NEXTFILL_CACHE")
    of_user = os.environ.get("XDG_CACHE_HOME", "")
    is_set = os.path.isabs(of_user)  # noqa: PTH117 - of text, which may be no path
    default = os.path.join(of_user if is_set else "~/.cache", "nextfill")  # noqa: PTH118
    flag = "XDG_CACHE_HOME" if is_set else "--cache-dir"
    flag = "--cache-dir" if override else "NEXTFILL_CACHE" if from_environment else flag
    chosen = override or from_environment or default
    return user_path(chosen, flag).absolute()


def cache_place(cache_dir_: str | None, limit: str | None, store: str | None = None) -> CachePlace:
    """Return the place that settings say.

    Args:
        cache_dir_: The setting ``cache_dir``.
        limit: The setting ``cache_limit``.
        store: The setting ``store``.
    """
    folder = cache_dir(cache_dir_)
    address = None if store is None else store_at(store, folder)
    return CachePlace(folder, limit_of(limit), store=address)


def store_key(parts: Mapping[str, object]) -> str:
    """Return the folder name of the store that is made from ``parts``.

    Example:
        >>> store_key({"a": 1, "b": 2}) == store_key({"b": 2, "a": 1})
        True
    """
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def open_or_write(
    cache: Cache,
    parts: Mapping[str, object],
    read: Callable[[], tuple[Iterable[Document], ReadCounts]],
    tokenizer: object,
    *,
    name: str = "",
    shard_tokens: int = 1 << 24,
    verify: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
    on_wait: Callable[[], None] = lambda: None,
    make_encoder: Callable[[Engine], Encoder] | None = None,
    encode: EncodeTexts = encode_as_they_are,
    read_encoded: ReadEncoded = lambda encoder: None,
    room_bytes: int = 0,
) -> tuple[TokenStore, bool]:
    """Open the store made from ``parts``, or write it, and return whether it was there already.

    ``read`` is called only to write, and again if the encoder has to be changed. Of several
    processes one writes, and the others wait for it. ``make_encoder`` gives an encoder for the
    tokenizer that is not made anew each time, which keeps 3 MB; ``encode`` makes other tokens of
    the texts than the encoder alone; ``read_encoded`` returns documents that are encoded elsewhere,
    as the encoder given would, with their counts, or None where they are to be encoded here.
    ``room_bytes`` is what is likely to be written, for which room is made before.
    """
    key = _key(parts, tokenizer)
    place = place_of(cache)
    folder, path = place.folder, _folder(place.folder, key)
    with suppress(DamagedStoreError):  # met again below, where no other process replaces it
        if (store := _open(path, place, verify=verify)) is not None and is_kept(path, place):
            return store, True
    with writing(path.parent):
        lock = open_lock(folder / "locks" / path.name)
    with making(lock, on_wait):
        try:
            if (store := _open(path, place, verify=verify)) is not None:  # another process made it
                keep_at_address(path, place)
                return store, True
        except DamagedStoreError as error:
            _put_aside(error)
        _warn_about_older(path, key)
        sweep(folder)
        if room_bytes:
            keep_within_limit(cache, spared=path, room_bytes=room_bytes)
        if place.store is not None:
            with writing(path.parent):
                is_fetched = fetch_store(path, place.store)
            if is_fetched and (store := _open(path, place, verify=False)) is not None:
                keep_within_limit(cache, spared=path)
                return store, True
        options: dict[str, Any] = {"name": name, "shard_tokens": shard_tokens}
        options["on_progress"] = on_progress
        make_encoder = make_encoder or partial(Encoder, tokenizer)

        def write(engine: Engine) -> TokenStore:
            encoder = make_encoder(engine)
            if place.store is not None:
                options["upload"] = StoreUpload(place.store, path.name, place)
            documents: Iterable[Document] | EncodedDocuments
            if (encoded := read_encoded(encoder)) is not None:
                documents, counts = EncodedDocuments(encoded[0]), encoded[1]
            else:
                documents, counts = read()
            return write_store(
                *(path, documents, encoder), key=key, counts=counts, encode=encode, **options
            )

        store = _write(write)
        keep(path)
        copy_of(path, place)
    keep_within_limit(cache, spared=path)
    return store, False


def is_made(cache: Cache, parts: Mapping[str, object], tokenizer: object) -> bool:
    """Check that the store made from ``parts`` is there."""
    return _folder(place_of(cache).folder, _key(parts, tokenizer)).is_dir()


def _key(parts: Mapping[str, object], tokenizer: object) -> dict[str, object]:
    return {**parts, "tokenizer": fingerprint_of(tokenizer), "format_version": FORMAT_VERSION}


def _folder(cache: Path, key: Mapping[str, object]) -> Path:
    return cache / STORES / store_key(key)


def _open(path: Path, place: CachePlace, *, verify: bool) -> TokenStore | None:
    """Return the store at a path and mark it as used, or None if there is none."""
    if not keep(path) and not os.path.lexists(path):
        return None
    store = TokenStore.open(path, verify=verify)
    if store_key(store.meta["key"]) != path.name:
        raise DamagedStoreError(path, "it was made from other data, or with other settings")
    with suppress(OSError):  # a cache that may only be read
        os.utime(path / "meta.json")  # its age is the time since the last use
    copy_of(path, place)
    return store


def _warn_about_older(path: Path, key: Mapping[str, object]) -> None:
    """Warn about a store of the same data that an earlier version wrote, which is not read."""
    older = path.with_name(store_key({**key, "format_version": FORMAT_VERSION - 1}))
    if older.is_dir():
        logger.warning(
            "the token store %s was made by an earlier Nextfill and is made again; once it has not "
            "been used for 30 days this removes it: %s",
            older,
            shell_command("cache", "prune"),
        )


def _write(write: Callable[[Engine], TokenStore]) -> TokenStore:
    """Write a store, and write it anew with the slower engine if gigatoken fails a later sample."""
    try:
        return write("gigatoken")
    except EngineMismatchError as error:
        logger.warning("%s; this is being done", error)
        return write("tokenizers")


def _put_aside(error: DamagedStoreError) -> None:
    """Rename a damaged store for a later sweep; another process may be reading it."""
    path = error.path
    forget_copy(path)
    aside = path.with_name(f"{path.name}.tmp-damaged-{os.getpid()}-{time.time_ns()}")
    try:
        path.rename(aside)
    except FileNotFoundError:  # another process has put it aside
        return
    except OSError as refused:
        raise DataError(
            f"the token store {path} is damaged and cannot be replaced: {error.damage}; "
            f"{refused.strerror}. It belongs to {owner(path)}, who may delete it; or name another "
            "folder with --cache-dir"
        ) from refused
    with suppress(OSError):  # another user's
        os.utime(aside)  # its age counts from now
    logger.warning(
        "the token store %s is damaged: %s; it is put aside and made again", path, error.damage
    )


def join_stores(stores: Sequence[TokenStore], sources: Sequence[int] | None = None) -> TokenStore:
    """Join stores into one with the documents of all, in their order, each of a source."""
    if len(stores) == 1:
        return stores[0]
    shards: list[dict[str, Any]] = []
    first_record = 0
    for store, source in zip(stores, sources or [0] * len(stores), strict=True):
        for number, shard in enumerate(store.meta["shards"]):
            first = first_record + shard.get("first_record", 0)
            folder = str(store.folder(number))
            pieces = shard.get("in_pieces", holds_pieces(store.meta))
            told = {"folder": folder, "first_record": first, "in_pieces": pieces}
            shards.append({**shard, **told, "source": source})
        first_record += store.meta["counts"]["records"]
    metas = [store.meta for store in stores]
    counts = [meta["counts"]["records"] for meta in metas]
    names = (
        [store.record_name(at) for store, n in zip(stores, counts, strict=True) for at in range(n)]
        if any(store.names for store in stores)
        else []
    )
    kept = [meta["columns"] for meta in metas if meta["totals"]["documents"]]
    columns = [name for name in kept[0] if all(name in one for one in kept)] if kept else []
    content = hashlib.sha256("".join(meta["content_sha256"] for meta in metas).encode())
    return TokenStore(
        stores[0].path,
        {
            **metas[0],
            "name": ", ".join(str(meta.get("name", "")) for meta in metas),
            "counts": _added_counts([meta["counts"] for meta in metas]),
            "totals": add_counts(meta["totals"] for meta in metas),
            "columns": columns,
            "content_sha256": content.hexdigest(),
            "shards": shards,
            "stores": [str(path) for store in stores for path in store_paths(store)],
        },
        names,
    )


def shard_sources(store: TokenStore) -> NDArray[np.int64]:
    """Return the source of each shard, from 0, ``[shards] int64``."""
    return np.array([shard.get("source", 0) for shard in store.meta["shards"]], np.int64)


def open_stores(paths: Sequence[Path]) -> TokenStore:
    """Open the store of these folders, as `store_paths` lists them."""
    return join_stores([TokenStore.open(path) for path in paths])


def store_paths(store: TokenStore) -> list[Path]:
    """Return the folders of a store, several if it was joined."""
    return [Path(path) for path in store.meta.get("stores", [store.path])]


def _added_counts(counts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Add up `ReadCounts`; a field is None unless it is the same in all.

    Some may have no context.
    """
    texts = {one["text_field"] for one in counts}
    contexts = {one.get("context_field") for one in counts} - {None}
    added: dict[str, Any] = {
        name: fields.pop() if len(fields) == 1 else None
        for name, fields in (("text_field", texts), ("context_field", contexts))
    }
    for key in counts[0].keys() - added.keys():
        values = [one[key] for one in counts]
        added[key] = add_counts(values) if isinstance(values[0], Mapping) else sum(values)
    return added
