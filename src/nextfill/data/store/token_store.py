"""The token store: a folder of token ids, written once, checked and read through memory maps.

Layout, ``format_version`` 3::

    meta.json                 totals, tokenizer, engine, counts of the reading, shards with the
                              size and checksum of each file, and a checksum of itself
    verified-801.json         states of files that were found whole, by device
    shard-00000/tokens.bin    ids without special tokens, uint16 or uint32, little-endian
    shard-00000/documents.npy one row per document: DOCUMENT below
    shard-00000/contexts.npy  one row per document: CONTEXT below, where documents have contexts
    shard-00000/columns.parquet   kept columns as text, where any were kept
    shard-00000/word-starts.bin   one bit a token and a checksum, by `word_starts` on demand
    address.json              where a copy gets the tokens that it lacks: `store_copy`

A document is in one shard. `nextfill.data.store.writer` makes stores. Every opening reads
``meta.json`` whole. A file is read whole once, after it was written, and again on demand or when
its size, times, inode or device have changed, so a copied store is read once.
"""

from __future__ import annotations

import mmap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nextfill.core.errors import DataError, nearest
from nextfill.data.store.shard_tokens import ShardTokens, open_shard_file
from nextfill.data.store.store_integrity import (
    DamagedStoreError,
    check_files,
    read_meta,
    shard_name,
)

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

CONTEXT = np.dtype([(size, "<i8") for size in ("tokens", "bytes", "characters", "words")])
"""What a document's sizes have of its context, which stands at its beginning."""

DOCUMENTS, CONTEXTS = "documents.npy", "contexts.npy"


@dataclass(frozen=True)
class TokenStore:
    """A finished store, opened read-only, with the content of its ``meta.json``."""

    path: Path
    meta: Mapping[str, Any]
    names: Sequence[str] = ()
    """The files of the records, where each is a whole file: not kept, for files may be renamed."""

    @classmethod
    def open(cls, path: Path, *, verify: bool = False) -> TokenStore:
        """Open a store and check that it is whole."""
        meta = read_meta(path)
        check_files(path, meta, verify=verify)
        return cls(path, meta)

    def __getstate__(self) -> dict[str, Any]:  # of a copy, which maps the tokens for itself
        return {"path": self.path, "meta": self.meta, "names": self.names}

    def record_name(self, record: int) -> str:
        """Return the file that a record is, or an empty string where it is part of one."""
        return self.names[record] if record < len(self.names) else ""

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
        """Return the folder of a shard, which is another store's if several are joined."""
        return Path(self.meta["shards"][shard].get("folder", self.path / shard_name(shard)))

    def shard_rows(self, shard: int) -> NDArray[np.void]:
        """Return the rows of ``DOCUMENT`` of a shard's documents, mapped and not in memory."""
        rows = self._rows(shard, DOCUMENTS)
        if first := self.meta["shards"][shard].get("first_record", 0):
            (rows := rows.copy())["record"] += first
        return rows

    @cached_property
    def documents(self) -> NDArray[np.void]:
        """One row of ``DOCUMENT`` per document, ``[documents]``, over all shards."""
        parts = [self.shard_rows(shard) for shard in range(self.num_shards)]
        if len(parts) == 1:
            return parts[0]
        return np.concatenate(parts) if parts else np.empty(0, DOCUMENT)

    @cached_property
    def contexts(self) -> NDArray[np.void] | None:
        """One row of ``CONTEXT`` per document, ``[documents]``; None if all text is learnt."""
        shards = self.meta["shards"]
        have = [CONTEXTS in described.get("files", ()) for described in shards]
        if not any(have):
            return None
        parts = [
            self._rows(n, CONTEXTS) if has else np.zeros(shards[n]["documents"], CONTEXT)
            for n, has in enumerate(have)
        ]
        return np.concatenate(parts)

    def _rows(self, shard: int, name: str) -> NDArray[np.void]:
        try:
            rows: NDArray[np.void] = np.load(self.folder(shard) / name, mmap_mode="r")
        except (ValueError, EOFError) as error:
            raise DamagedStoreError(self.path, f"{name} of shard {shard}: {error}") from error
        return rows

    @cached_property
    def shard_bounds(self) -> NDArray[np.int64]:
        """Documents of shard ``s`` are ``shard_bounds[s]`` to ``shard_bounds[s + 1]``."""
        sizes = [shard["documents"] for shard in self.meta["shards"]]
        return np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)]).astype(np.int64)

    def shard_of(self, documents: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the shards of documents, in the shape of their numbers."""
        return np.searchsorted(self.shard_bounds, documents, side="right") - 1

    @cached_property
    def shard_tokens(self) -> ShardTokens:
        """The ids of each shard, memory-mapped, ``[tokens]``."""
        shards = self.meta["shards"]
        folders = [self.folder(shard) for shard in range(len(shards))]
        return ShardTokens(
            folders, [sizes["tokens"] for sizes in shards], np.dtype(self.meta["dtype"])
        )

    def release(self, shard: int) -> None:
        """Give back the memory of a shard's pages, so that a pass over a store does not fill it."""
        tokens = self.shard_tokens.mapped(shard)
        if tokens is None:
            return
        array: Any = tokens.base  # the memmap, whose base is Python's map
        pages = None if array is None else array.base
        if isinstance(pages, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
            pages.madvise(mmap.MADV_DONTNEED)

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
            with open_shard_file(self.folder(shard), "columns.parquet") as file:
                texts += pq.read_table(file, columns=[name]).column(name).to_pylist()
        return texts
