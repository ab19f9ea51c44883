"""The token store: a folder of token ids, written once and read through memory maps.

Layout, ``format_version`` 3::

    meta.json                 totals, tokenizer, engine, counts of what was read, shards with the
                              size and checksum of each file, and a checksum of itself
    verified-801.json         states of files that were found whole, by device: see `verification`
    shard-00000/tokens.bin    ids without special tokens, uint16 or uint32, little-endian
    shard-00000/documents.npy one row per document: DOCUMENT below
    shard-00000/columns.parquet   kept columns as text, where any were kept
    shard-00000/word-starts.bin   one bit a token and a checksum, added by `words` where asked for

A document lies in one shard. `nextfill.data.store.writer` makes stores.
"""

from __future__ import annotations

import hashlib
import mmap
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nextfill.core.errors import DataError, nearest
from nextfill.data.store.integrity import DamagedStoreError, check_files, read_meta, shard_name

DOCUMENT = np.dtype(
    [
        ("offset", "<i8"),  # first token, counted in the shard
        ("tokens", "<i8"),
        ("bytes", "<i8"),  # of the text in UTF-8
        ("characters", "<i8"),
        ("words", "<i8"),  # separated by white space
        ("record", "<i8"),
        ("hash", "<u8", (2,)),  # blake2b of the text, 128 bits
    ]
)


@dataclass(frozen=True)
class TokenStore:
    """A finished store, opened read-only.

    Args:
        path: The folder.
        meta: What ``meta.json`` holds.
    """

    path: Path
    meta: Mapping[str, Any]

    @classmethod
    def open(cls, path: Path, *, verify: bool = False) -> TokenStore:
        """Open a store and check that it is whole."""
        meta = read_meta(path)
        check_files(path, meta, verify=verify)
        return cls(path, meta)

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy takes with it: not the tokens, which it maps for itself."""
        return {"path": self.path, "meta": self.meta}

    @property
    def num_documents(self) -> int:
        """Documents, empty ones included."""
        return int(self.meta["totals"]["documents"])

    @property
    def num_tokens(self) -> int:
        """Tokens, without special tokens."""
        return int(self.meta["totals"]["tokens"])

    @property
    def num_shards(self) -> int:
        """Shards; an empty store has none."""
        return len(self.meta["shards"])

    def folder(self, shard: int) -> Path:
        """Return the folder of a shard, which lies in another store if several are joined."""
        return Path(self.meta["shards"][shard].get("folder", self.path / shard_name(shard)))

    @cached_property
    def documents(self) -> NDArray[np.void]:
        """One row of ``DOCUMENT`` per document, ``[documents]``, over all shards."""
        parts: list[NDArray[np.void]] = []
        for shard, described in enumerate(self.meta["shards"]):
            file = self.folder(shard) / "documents.npy"
            try:
                rows = np.load(file, mmap_mode="r")
            except (ValueError, EOFError) as error:
                raise DamagedStoreError(
                    self.path, f"{file.name} of shard {shard}: {error}"
                ) from error
            if first := described.get("first_record", 0):
                rows = rows.copy()
                rows["record"] += first
            parts.append(rows)
        if len(parts) == 1:
            return parts[0]
        return np.concatenate(parts) if parts else np.empty(0, DOCUMENT)

    @cached_property
    def shard_bounds(self) -> NDArray[np.int64]:
        """Documents of shard ``s`` are ``shard_bounds[s]`` to ``shard_bounds[s + 1]``."""
        sizes = [shard["documents"] for shard in self.meta["shards"]]
        return np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)]).astype(np.int64)

    def shard_of(self, documents: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the shard of each document.

        Args:
            documents: Document numbers, any shape, int64.

        Returns:
            Shard numbers in the same shape.
        """
        return np.searchsorted(self.shard_bounds, documents, side="right") - 1

    @cached_property
    def shard_tokens(self) -> tuple[NDArray[np.unsignedinteger], ...]:
        """The ids of each shard, memory-mapped, ``[tokens]``."""
        dtype = np.dtype(self.meta["dtype"])
        maps: list[NDArray[np.unsignedinteger]] = []
        for shard, sizes in enumerate(self.meta["shards"]):
            if sizes["tokens"] == 0:  # an empty file cannot be mapped
                maps.append(np.empty(0, dtype))
                continue
            file = self.folder(shard) / "tokens.bin"
            # A plain array over the map: np.memmap's own indexing is several times slower.
            maps.append(np.asarray(np.memmap(file, dtype, mode="r")))
        return tuple(maps)

    def release(self, shard: int) -> None:
        """Give back the memory that reading a shard took; what is read again comes from its file.

        Whoever goes through a whole store would hold all of it else, as far as memory goes.
        """
        held: Any = self.shard_tokens[shard].base  # the map, and below it what Python mapped
        held = None if held is None else held.base
        if isinstance(held, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
            held.madvise(mmap.MADV_DONTNEED)

    def tokens(
        self, document: int, start: int = 0, length: int | None = None
    ) -> NDArray[np.unsignedinteger]:
        """Return the ids of a span of one document."""
        row = self.documents[document]
        end = int(row["tokens"]) if length is None else min(start + length, int(row["tokens"]))
        shard = int(self.shard_of(np.int64(document)))  # type: ignore[arg-type]
        first = int(row["offset"])
        return self.shard_tokens[shard][first + start : first + end]

    def columns(self, name: str) -> list[str] | None:
        """Return a kept column, one text per document."""
        kept: Sequence[str] = self.meta["columns"]
        if not kept:
            return None
        if name not in kept:
            raise DataError(
                f"column '{name}' was not kept in {self.path}; kept: {', '.join(kept)}."
                + nearest(name, kept)
            )
        import pyarrow.parquet as pq

        texts: list[str] = []
        for shard in range(self.num_shards):
            file = self.folder(shard) / "columns.parquet"
            texts += pq.read_table(file, columns=[name]).column(name).to_pylist()
        return texts


def join_stores(stores: Sequence[TokenStore]) -> TokenStore:
    """Return one store that holds the documents of several, in their order."""
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
    """Open the store that lies in these folders, as `store_paths` names them."""
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
