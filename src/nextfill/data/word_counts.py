"""Words of many texts, counted in their bytes at once: a string for each word takes far longer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_WIDE_SPACES = [chr(code).encode() for code in range(0x80, 0x10000) if chr(code).isspace()]
_OF_TWO, _OF_THREE = (
    np.array(sorted(int.from_bytes(one) for one in _WIDE_SPACES if len(one) == size))
    for size in (2, 3)
)
"""Spaces beyond ASCII, such as the no-break space, by the number of their bytes, as numbers."""

_AT_ONCE = 1 << 18
"""Bytes of texts that are looked at together."""

_BYTES = 8
_EACH_BYTE = np.uint64(0x0101010101010101)
_LAST_BYTE = np.uint64(56)
"""Eight bytes of 0 or 1, times the first, have their sum in the last byte, from this bit on."""

_LEAST, _MOST = min(_WIDE_SPACES)[0], max(_WIDE_SPACES)[0]


def count_words(texts: Sequence[bytes]) -> NDArray[np.int64]:
    r"""Count the words of texts in UTF-8, ``[texts]``; each has as many as ``str.split()`` gives.

    Example:
        >>> count_words([b" Once upon\n a time", "un\u2003\u00e9t\u00e9".encode(), b""]).tolist()
        [4, 2, 0]
    """
    ends = np.cumsum([len(text) for text in texts], dtype=np.int64)
    counts = [np.empty(0, np.int64)]
    first = before = 0
    while first < len(texts):
        # As many as fit into the processor's cache, at least one.
        last = max(int(np.searchsorted(ends, before + _AT_ONCE, side="right")), first + 1)
        counts.append(_count_words(b"".join(texts[first:last]), ends[first:last] - before))
        first, before = last, int(ends[last - 1])
    return np.concatenate(counts)


def _count_words(joined: bytes, ends: NDArray[np.int64]) -> NDArray[np.int64]:
    """Count the words of texts that lie one after the other, up to their ends, ``[texts]``."""
    numbers = np.frombuffer(joined, np.uint8)
    # Those of ASCII stand next to each other: 9 to 13 and 28 to 32.
    spaces = numbers - np.uint8(9) < 5
    spaces |= numbers - np.uint8(28) < 5
    _mark_wide_spaces(joined, spaces)
    begins = np.zeros(-(-len(joined) // _BYTES) * _BYTES, np.bool_)
    np.logical_not(spaces[:1], out=begins[:1])
    np.greater(spaces[:-1], spaces[1:], out=begins[1 : len(joined)])  # no space after one
    first = ends[:-1][ends[:-1] < len(joined)]
    begins[first] = ~spaces[first]
    return np.diff(_counts_before(begins, ends), prepend=0)


def _counts_before(marked: NDArray[np.bool_], places: NDArray[np.int64]) -> NDArray[np.int64]:
    """Count what is marked before each place, eight bytes at once.

    Args:
        marked: As many as make up whole eights.
        places: Places in it, or its end, ``[n]``.
    """
    eights = marked.view("<u8")
    before = np.zeros(len(eights) + 1, np.int64)
    np.cumsum(eights * _EACH_BYTE >> _LAST_BYTE, out=before[1:], dtype=np.int64)
    eight, more = places // _BYTES, places % _BYTES
    some = np.flatnonzero(more)
    # The bytes of a place's eight that lie before it, moved to the top, their number in the last.
    moved = eights[eight[some]] << (8 * (_BYTES - more[some])).astype(np.uint64)
    found = before[eight]
    found[some] += (moved * _EACH_BYTE >> _LAST_BYTE).astype(np.int64)
    return found


def _mark_wide_spaces(joined: bytes, spaces: NDArray[np.bool_]) -> None:
    """Mark the bytes of spaces beyond ASCII."""
    if joined.isascii():
        return
    numbers = np.frombuffer(joined, np.uint8)
    first = np.flatnonzero((numbers >= _LEAST) & (numbers <= _MOST))
    # The last character has no two bytes behind it where it is one of two.
    numbers = np.append(numbers, np.zeros(1, np.uint8))
    both = numbers[first].astype(np.int64) << 8 | numbers[first + 1]
    all_three = both << 8 | numbers[np.minimum(first + 2, len(joined))]
    for size, wide, found in ((2, _OF_TWO, both), (3, _OF_THREE, all_three)):
        # np.isin does more, and imports numpy.ma the first time.
        at = first[wide[np.minimum(np.searchsorted(wide, found), len(wide) - 1)] == found]
        for more in range(size):
            spaces[at + more] = True
