"""A set of numbers, fast to ask for many that are mostly not in it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nextfill.data.contamination.token_fragments import Hashes, Ints

_SPARE_BITS = 3
_MOST_BITS = 27
"""A table has 8 to 16 bits a number, at most 16 MB of them."""

_BITS_OF_GROUP = 2
"""A group has 2 to 4 numbers on average."""

_AT_ONCE = 1 << 23
"""Bits of a table that are a byte each while it is made."""


class NumberSet:
    """A set of 64-bit numbers, of which any bits are as good as others.

    Args:
        numbers: Ascending, each once, ``[K]``.

    Example:
        >>> some = NumberSet(np.array([3, 5 << 40], np.uint64))
        >>> [places.tolist() for places in some.find(np.array([5 << 40, 4, 3], np.uint64))]
        [[2, 0], [0, 1]]
    """

    def __init__(self, numbers: Hashes) -> None:
        self._numbers = numbers
        # A table of their first bits rejects nearly all others at once, one of their last bits
        # nearly all that are left: finding a number's place takes far longer.
        bits = max(min(len(numbers).bit_length() + _SPARE_BITS, _MOST_BITS), 3)
        self._first = np.uint64(64 - bits)
        self._mask = np.uint64((1 << bits) - 1)
        self._of_first = _bit_table(numbers >> self._first, bits)
        self._of_last = _bit_table(numbers & self._mask, bits)
        # Numbers of the same first bits, a few, are gone through: a search by halves misses the
        # processor's cache at every step.
        few = max(len(numbers).bit_length() - _BITS_OF_GROUP, 1)
        self._group = np.uint64(64 - few)
        begins = np.arange((1 << few) + 1, dtype=np.uint64) << self._group
        self._begins = np.searchsorted(numbers, begins).astype(np.uint32)
        self._begins[-1] = len(numbers)  # whose number is beyond 64 bits

    def __len__(self) -> int:
        return len(self._numbers)

    def find(self, numbers: Hashes) -> tuple[Ints, Ints]:
        """Return the places of the members among some numbers, and of each its place in the set.

        Members come in the order of the set.
        """
        likely = np.flatnonzero(_bits(self._of_first, numbers >> self._first))
        asked = numbers[likely]
        is_likely = np.flatnonzero(_bits(self._of_last, asked & self._mask))
        likely, asked = likely[is_likely], asked[is_likely]
        # Numbers that are asked for in their order share what the processor's cache holds.
        order = np.argsort(asked)
        likely, asked = likely[order], asked[order]
        place = self._places_of(asked)
        hit = np.flatnonzero(place < len(self._numbers))
        hit = hit[self._numbers[place[hit]] == asked[hit]]
        return likely[hit], place[hit]

    def _places_of(self, asked: Hashes) -> Ints:
        """Return the first place of each number at which the set has none that is smaller."""
        group = (asked >> self._group).view(np.int64)
        place = self._begins[group].astype(np.int64)
        end = self._begins[group + 1]
        going = np.flatnonzero(place < end)
        while len(going):
            going = going[self._numbers[place[going]] < asked[going]]
            place[going] += 1
            going = going[place[going] < end[going]]
        return place


def ascending(numbers: NDArray[np.unsignedinteger]) -> Ints:
    """Return the places of numbers in ascending order, of equal ones the first comes first.

    They are sorted by 16 bits after the other, for which NumPy counts and compares nothing: half
    the time for numbers of 64 bits, an eighth for those below 65,536.

    Source:
        https://numpy.org/doc/stable/reference/generated/numpy.sort.html, on ``kind="stable"``

    Example:
        >>> ascending(np.array([7 << 40, 5, 7 << 40, 1], np.uint64)).tolist()
        [3, 1, 0, 2]
    """
    order = np.argsort(numbers.astype(np.uint16), kind="stable")
    largest = int(numbers.max(initial=0))
    for shift in range(16, largest.bit_length(), 16):
        piece = (numbers >> numbers.dtype.type(shift)).astype(np.uint16)
        order = order[np.argsort(piece[order], kind="stable")]
    return order


def _bit_table(places: Hashes, bits: int) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    """Return a table of ``2^bits`` bits, eight a byte, in which some are set."""
    table = np.zeros((1 << bits) >> 3, np.uint8)
    size = min(_AT_ONCE, 1 << bits)
    of_piece = np.uint64(size.bit_length() - 1)
    for first in range(0, 1 << bits, size):
        within = places
        if size < 1 << bits:
            within = places[places >> of_piece == np.uint64(first // size)] & np.uint64(size - 1)
        some = np.zeros(size, np.bool_)
        # In any order: eight million bytes fit a cache, and sorting takes twenty times as long.
        some[within.view(np.int64)] = True
        table[first >> 3 : (first + size) >> 3] = np.packbits(some, bitorder="little")
    return table


def _bits(
    table: np.ndarray[tuple[int], np.dtype[np.uint8]], places: Hashes
) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    """Return the bits of a table at some places, 0 or 1."""
    # NumPy takes signed numbers as places as they are, and converts others.
    found = table[(places >> np.uint64(3)).view(np.int64)]
    found >>= places.astype(np.uint8) & np.uint8(7)
    found &= np.uint8(1)
    return found
