"""The token store of a source: found in the cache, or written from its documents."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

from nextfill.config import DataConfig
from nextfill.core.progress import Progress
from nextfill.data.cluster.encoded_source import EncodedSource, Workers, encoded_source
from nextfill.data.document import ReadCounts, Source
from nextfill.data.document_ends import (
    EndShares,
    read_pieces,
)
from nextfill.data.portions import store_parts
from nextfill.data.records.formats.text_and_csv import SEPARATED
from nextfill.data.source_parts import (
    no_text_error,
)
from nextfill.data.store.cache_place import Cache
from nextfill.data.store.encoder import Encoder
from nextfill.data.store.store_cache import open_or_write
from nextfill.data.store.store_integrity import IN_PIECES
from nextfill.data.store.token_store import TokenStore

logger = logging.getLogger("nextfill")

Filled = tuple[TokenStore, bool]
"""A store, and whether it was there already."""


def fill_store(
    source: Source,
    data: DataConfig,
    tokenizer: Any,
    *,
    cache: Cache,
    label: str,
    on_progress: Progress,
    shares: EndShares | None = None,
    workers: Workers | None = None,
) -> Filled:
    """Open or write the store of a source, and return whether it was there already.

    With ``shares`` its documents are cut into pieces, which is done here and not by ``workers``.
    """

    def read_encoded(encoder: Encoder) -> EncodedSource | None:
        if workers is None or shares is not None:
            return None
        return encoded_source(source, data, encoder, workers)

    store, reused = open_or_write(
        cache,
        store_key(source, data, shares),
        lambda: read_pieces(source, data, shares),
        tokenizer,
        name=source.name,
        verify=data.verify,
        on_progress=lambda _, size: on_progress(f"{label} {source.name}", size, 0),
        on_wait=lambda: on_progress(f"waiting for the process that reads {source.name}", 0, 0),
        read_encoded=read_encoded,
    )
    check_text(source, data, store, reused=reused)
    return replace(store, names=source.whole_files), reused


def store_key(source: Source, data: DataConfig, shares: EndShares | None) -> dict[str, Any]:
    """Return the key of a source's store, whose documents may be in pieces."""
    parts = store_parts(source, data)
    return {**parts, IN_PIECES: shares.to_json()} if shares else parts


def check_text(source: Source, data: DataConfig, store: TokenStore, *, reused: bool) -> None:
    """Report tables among the files of a new store, and refuse one without tokens."""
    counts = ReadCounts(**store.meta["counts"])
    for shape, number in () if reused else counts.tables.items():
        files = "a table" if number == 1 else f"{number:,} tables"
        if shape.startswith(SEPARATED):
            logger.warning("%s: holds %s %s, and read so", source.name, files, shape)
            continue
        logger.warning("%s: holds %s by columns, read as rows: %s", source.name, files, shape)
    if store.num_tokens == 0:
        raise no_text_error(source, data, counts)
