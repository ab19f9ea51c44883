"""The store of a source's documents as they are trained on, beside that of the text as it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from nextfill.config import DataConfig
from nextfill.core.errors import DataError
from nextfill.data.document import Source
from nextfill.data.document_ends import EndShares, read_pieces
from nextfill.data.infilling import Infilled, Infilling
from nextfill.data.store.cache_place import Cache
from nextfill.data.store.pieces import INFILLED
from nextfill.data.store.store_cache import open_or_write
from nextfill.data.store.store_integrity import IN_PIECES
from nextfill.data.store.token_store import TokenStore


def fill_infilled(
    store: TokenStore,
    source: Source,
    data: DataConfig,
    tokenizer: Any,
    infilling: Infilling,
    *,
    cache: Cache,
    on_progress: Callable[[str, int, int], None],
) -> tuple[Infilled, bool]:
    """Open or write the documents of a source's store as they are trained on.

    Returns:
        They, and whether they were there already.

    Raises:
        DataError: They begin with contexts, or are no longer what the store holds.
    """
    _refuse_contexts(store)
    key: Mapping[str, Any] = store.meta["key"]
    shares = EndShares.of(data) if IN_PIECES in key else None
    label = f"cutting {source.name} for infilling"
    filled, reused = open_or_write(
        cache,
        {**key, INFILLED: infilling.to_json()},
        lambda: read_pieces(source, data, shares),
        tokenizer,
        name=source.name,
        verify=data.verify,
        on_progress=lambda _, size: on_progress(label, size, 0),
        on_wait=lambda: on_progress(f"waiting for the process that reads {source.name}", 0, 0),
        encode=infilling.encode,
    )
    if filled.meta["content_sha256"] != store.meta["content_sha256"]:
        raise DataError(
            f"{source.name} changed while it was read, and its documents are no longer the same: "
            "run the command again."
        )
    return Infilled(filled, infilling.kinds(filled.documents["characters"])), reused


def _refuse_contexts(store: TokenStore) -> None:
    """Refuse contexts, of which nothing is learnt: a cut would move them among what is."""
    if store.contexts is not None:
        counts = store.meta["counts"]
        text, context = counts["text_field"], counts["context_field"]
        raise DataError(
            f"{store.meta['name']}: {context or 'a field'} is context, of which nothing is learnt, "
            "and --fim-rate moves parts of a whole text: leave it out, or name one text to cut, "
            f"such as --text-field {text or 'completion'}, without --context-field."
        )
