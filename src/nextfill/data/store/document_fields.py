"""Fields of documents' rows, each read from the shards when it is asked for.

A row has 64 bytes. Of millions of documents the one field that is asked for takes an eighth of
them, and nothing of it stays in memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from nextfill.data.store.token_store import DOCUMENT, TokenStore

Ints = NDArray[np.int64]


class Fields(Protocol):
    """Fields of ``token_store.DOCUMENT`` by name, as rows in memory have them, too."""

    def __len__(self) -> int: ...

    def __getitem__(self, name: str, /) -> NDArray[Any]: ...


@dataclass(frozen=True)
class DocumentFields:
    """The fields of some documents of a store.

    Args:
        store: The documents.
        numbers: Their numbers, ascending, each once, ``[n]``.
    """

    store: TokenStore
    numbers: Ints

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, name: str, /) -> NDArray[Any]:
        return values(self.store, name, self.numbers)


def values(store: TokenStore, name: str, numbers: Ints, *, halves: bool = False) -> NDArray[Any]:
    """Return one field of documents.

    Args:
        store: The documents.
        name: A field of ``token_store.DOCUMENT``.
        numbers: Numbers of documents, ascending, each once, ``[n]``.
        halves: Of a hash, the first half alone.

    Returns:
        The field of each, ``[n]``, of a whole hash ``[n, 2]``.
    """
    part = (slice(None), 0) if halves else slice(None)
    if "documents" in vars(store):  # all rows are in memory already
        return np.asarray(store.documents[name][part][numbers])
    shape = (len(numbers),) if halves else (len(numbers), *DOCUMENT[name].shape)
    found = np.empty(shape, DOCUMENT[name].base)
    bounds = np.searchsorted(numbers, store.shard_bounds).tolist()
    for shard, (first, last) in enumerate(pairwise(bounds)):
        if first == last:
            continue
        column = store.shard_rows(shard)[name][part]
        if last - first < len(column):  # else they are all of the shard's
            column = column[numbers[first:last] - store.shard_bounds[shard]]
        found[first:last] = column
    return found


def marked_fields(rows: Fields, marked: NDArray[np.bool_]) -> Fields:
    """Return the fields of the documents that a mask marks."""
    if isinstance(rows, DocumentFields):
        return DocumentFields(rows.store, rows.numbers[marked])
    return np.asarray(rows)[marked]


def first_tokens(store: TokenStore, document: int, most: int) -> NDArray[np.unsignedinteger]:
    """Return the first ids of a document, so many at most, ``[tokens]``."""
    one = np.array([document])
    [offset], [number] = values(store, "offset", one), values(store, "tokens", one)
    tokens = store.shard_tokens[int(store.shard_of(one)[0])]
    return tokens[offset : offset + min(number, most)]
