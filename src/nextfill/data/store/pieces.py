"""Pieces of a document that lie next to each other, as the one text that they are.

Where the ends of documents are held out, stores hold documents in pieces: what is trained on in any
case, what may be set apart for validation, and the end. Two of them in one part follow each other
in their shard's tokens, so that a longer row is all that it takes to read them as one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nextfill.data.store.store_integrity import IN_PIECES
from nextfill.data.store.token_store import DOCUMENT, TokenStore

INFILLED = "infilling"
"""The part of a store's key that says how its documents are cut for infilling."""

_SIZES = ("tokens", "bytes", "characters", "words")


@dataclass(frozen=True)
class JoinedStore(TokenStore):
    """A store in which some documents have the tokens of those after them, too.

    Args:
        rows: Rows of ``DOCUMENT``, ``[documents]``, in which the first of several pieces has the
            size of all.
        num_joined: Documents that stand in the row of another.
    """

    rows: NDArray[np.void] = field(default_factory=lambda: np.empty(0, DOCUMENT), compare=False)
    num_joined: int = 0

    @cached_property
    def documents(self) -> NDArray[np.void]:
        """The rows."""
        return self.rows

    def shard_rows(self, shard: int) -> NDArray[np.void]:
        """Return the rows of a shard's documents."""
        return self.rows[self.shard_bounds[shard] : self.shard_bounds[shard + 1]]

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "rows": self.rows, "num_joined": self.num_joined}


def holds_pieces(meta: Mapping[str, Any]) -> bool:
    """Return whether a store holds pieces that are one text where they follow each other.

    Each piece that is cut for infilling ends with its middle, so that no other goes on from there.
    """
    return IN_PIECES in meta["key"] and INFILLED not in meta["key"]


def further_pieces(store: TokenStore) -> NDArray[np.bool_]:
    """Mark the documents that go on where the one before them was cut, ``[documents] bool``."""
    marked = np.zeros(store.num_documents, np.bool_)
    in_pieces = holds_pieces(store.meta)
    for shard, described in enumerate(store.meta["shards"]):
        if described.get("in_pieces", in_pieces):  # of one source, and not of another beside it
            first, last = store.shard_bounds[shard : shard + 2]
            record = store.shard_rows(shard)["record"]
            marked[first + 1 : last] = record[1:] == record[:-1]
    return marked


def join_pieces(
    store: TokenStore, documents: NDArray[np.int64]
) -> tuple[TokenStore, NDArray[np.int64]]:
    """Join the pieces among documents that lie next to each other.

    Args:
        store: The documents.
        documents: Some of their numbers, ascending, ``[n] int64``.

    Returns:
        A store in which the first of such pieces has the tokens of all, and the numbers without
        the others.
    """
    further = further_pieces(store)
    if not further.any():  # as nearly always
        return store, documents
    further = further[documents] & (np.diff(documents, prepend=-2) == 1)
    if not further.any():
        return store, documents
    first = np.flatnonzero(~further)
    rows = store.documents.copy()
    for size in _SIZES:
        rows[size][documents[first]] = np.add.reduceat(store.documents[size][documents], first)
    joined = JoinedStore(store.path, store.meta, store.names, rows, int(further.sum()))
    return joined, documents[first]
