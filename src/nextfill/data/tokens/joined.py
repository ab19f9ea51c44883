"""Several token stores seen as one: their shards in a row, nothing copied."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from nextfill.data.tokens.store import TokenStore


def join_stores(stores: Sequence[TokenStore]) -> TokenStore:
    """Return one store that holds the documents of several, in their order.

    Args:
        stores: At least one, all made with one tokenizer.

    Returns:
        A store whose records are numbered on from store to store. Columns are those that all kept.
    """
    if len(stores) == 1:
        return stores[0]
    shards: list[dict[str, Any]] = []
    first_record = 0
    for store in stores:
        for number, shard in enumerate(store.meta["shards"]):
            first = first_record + shard.get("first_record", 0)
            folder = str(store.folder(number))
            shards.append({**shard, "folder": folder, "first_record": first})
        first_record += store.meta["counts"]["records"]
    metas = [store.meta for store in stores]
    kept = [meta["columns"] for meta in metas if meta["totals"]["documents"]]
    columns = [name for name in kept[0] if all(name in one for one in kept)] if kept else []
    content = hashlib.sha256("".join(meta["content_sha256"] for meta in metas).encode())
    return TokenStore(
        stores[0].path,
        {
            **metas[0],
            "name": ", ".join(str(meta.get("name", "")) for meta in metas),
            "counts": _added_counts([meta["counts"] for meta in metas]),
            "totals": _added(meta["totals"] for meta in metas),
            "columns": columns,
            "content_sha256": content.hexdigest(),
            "shards": shards,
            "stores": [str(path) for store in stores for path in store_paths(store)],
        },
    )


def open_stores(paths: Sequence[Path]) -> TokenStore:
    """Open the store that lies in these folders, as `store_paths` names them.

    Raises:
        DataError: If one of them is gone or damaged.
    """
    return join_stores([TokenStore.open(path) for path in paths])


def store_paths(store: TokenStore) -> list[Path]:
    """Return the folders of a store, several if it was joined."""
    return [Path(path) for path in store.meta.get("stores", [store.path])]


def _added_counts(counts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Add up what was read; the text field is named only where all have the same."""
    fields = {one["text_field"] for one in counts}
    added: dict[str, Any] = {"text_field": fields.pop() if len(fields) == 1 else None}
    for key in counts[0].keys() - added.keys():
        values = [one[key] for one in counts]
        added[key] = _added(values) if isinstance(values[0], Mapping) else sum(values)
    return added


def _added(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for one in counts:
        total.update(one)
    return dict(total)
