"""The hashes of documents' texts: which stand several times, and which stand among others.

Nearly all texts differ in the first half of their hash, so that the sorted halves tell most of it,
at 8 bytes a document.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nextfill.data.store.document_fields import DocumentFields, Fields, values

Ints = NDArray[np.int64]
Halves = NDArray[np.uint64]

_AT_ONCE = 1 << 16
"""Numbers that are sorted to be looked up in their order, which the processor's cache likes."""


def first_halves(rows: Fields) -> Halves:
    """Return the first halves of documents' hashes, ``[documents] uint64``."""
    if isinstance(rows, DocumentFields):
        return values(rows.store, "hash", rows.numbers, halves=True)
    return np.ascontiguousarray(rows["hash"][:, 0])


def is_among(numbers: Halves, others: Halves) -> NDArray[np.bool_]:
    """Mark the numbers that are among others, in the memory of these, ``[numbers] bool``.

    Example:
        >>> is_among(np.array([7, 5, 7], np.uint64), np.array([9, 7], np.uint64)).tolist()
        [True, False, True]
    """
    found = np.zeros(len(numbers), np.bool_)
    if len(others) > len(numbers):  # the fewer are sorted
        known = np.sort(numbers)
        met = np.zeros(len(known), np.bool_)
        for first in range(0, len(others), _AT_ONCE):
            met[_places(known, np.sort(others[first : first + _AT_ONCE]))] = True
        others = known[met]
    known = np.sort(others)
    for first in range(0, len(numbers), _AT_ONCE):
        some = numbers[first : first + _AT_ONCE]
        order = np.argsort(some)
        asked = some[order]
        place = np.searchsorted(known, asked)
        place[place == len(known)] = 0
        if len(known):
            found[first + order] = known[place] == asked
    return found


def _places(known: Halves, asked: Halves) -> Ints:
    """Return the first places of those of some numbers that are in a sorted row of them."""
    place = np.searchsorted(known, asked)
    there = place < len(known)
    place, asked = place[there], asked[there]
    found: Ints = place[known[place] == asked]
    return found


def repeated(rows: Fields) -> NDArray[np.bool_]:
    """Mark the documents of whose hash the first half stands twice, ``[documents] bool``.

    Nearly always the texts are equal.
    """
    ordered = first_halves(rows)
    ordered.sort()
    twice = ordered[1:][ordered[1:] == ordered[:-1]]
    del ordered
    return is_among(first_halves(rows), twice) if len(twice) else np.zeros(len(rows), np.bool_)


def number_texts(hashes: NDArray[np.uint64]) -> Ints:
    """Number the distinct hashes; several times as fast as ``np.unique`` over rows."""
    order = np.lexsort((hashes[:, 1], hashes[:, 0]))
    ordered = hashes[order]
    differs = np.any(ordered[1:] != ordered[:-1], axis=1)
    numbers = np.empty(len(hashes), np.int64)
    numbers[order] = np.concatenate([[0], np.cumsum(differs)])[: len(hashes)]
    return numbers
