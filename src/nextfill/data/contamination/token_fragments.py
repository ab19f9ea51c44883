"""The fragments of words that tokens write, folded once for a vocabulary, as tables by token."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nextfill.data.store.character_classes import MARK, OTHER, SPACE, class_of

Ints = NDArray[np.int64]
Hashes = NDArray[np.uint64]

BEFORE, OPEN, HAS, PARTS, SEVERAL, GOES_ON = (np.uint8(1 << bit) for bit in range(6))
"""What a token is to words: one begins at its fragment; one may go on after it; it has a fragment;
none, and parts words; several; it begins within a character. 0 is none of these."""

_ASCII_WORD = re.compile(rb"[a-z0-9]+")
_BASE = 0x9E3779B97F4A7C15
_MIX = np.uint64(0xBF58476D1CE4E5B9)


class Folded(NamedTuple):
    """A token's fragments, each with whether a word always begins with it.

    ``parts_before``: something other than letters is before the first of them; ``parts_after``:
    after the last.
    """

    fragments: list[tuple[bytes, bool]]
    parts_before: bool
    parts_after: bool


def fold(written: bytes) -> Folded:
    """Cut the bytes of a token into fragments.

    Example:
        >>> fold(b" It's")
        Folded(fragments=[(b'it', False), (b's', True)], parts_before=True, parts_after=False)
    """
    if written.isascii():  # nearly all of a vocabulary, in a tenth of the time
        found = _ASCII_WORD.findall(lower := written.lower())
        if not found:
            return Folded([], bool(written), bool(written))
        fragments = [(found[0], False), *((one, True) for one in found[1:])]
        return Folded(fragments, not lower.startswith(found[0]), not lower.endswith(found[-1]))
    fragments = []
    parted = parts_before = False  # whether the next letter begins a word
    for character in written.decode("utf-8", "surrogateescape"):
        half = "\udc80" <= character <= "\udcff"  # a byte of a character that is not whole
        is_word = character >= "\udce0" if half else _is_own_word(character)
        folded = character.encode("utf-8", "surrogateescape") if half else _letters(character)
        if folded:
            if parted or is_word or not fragments:
                parts_before |= parted and not fragments
                fragments.append((folded, is_word or (parted and bool(fragments))))
            else:
                text, begins = fragments[-1]
                fragments[-1] = (text + folded, begins)
            parted = is_word and not half
        elif not unicodedata.category(character).startswith("M"):
            parted = True
    return Folded(fragments, parts_before or (parted and not fragments), parted)


@cache
def _is_own_word(character: str) -> bool:
    """Check for a letter of a script without spaces."""
    if character < "\u0e00":
        return False
    return class_of(character) not in (OTHER, SPACE, MARK)


@cache
def _letters(character: str) -> bytes:
    """Return a letter or digit in lower case and without accents; nothing for other characters."""
    if not character.isalnum():
        return b""
    plain = unicodedata.normalize("NFKD", character.casefold())
    return "".join(c for c in plain if not unicodedata.category(c).startswith("M")).encode()


class TokenFragments(NamedTuple):
    """The fragments of tokens: a row for each id, and behind them one for each of several.

    A fragment is a run of letters and digits, in lower case and without accents; a character of a
    script without spaces is a word of its own.

    Args:
        kind: What a row is to words, ``[rows] uint8``.
        value: A fragment's bytes as a polynomial, 0 for none, ``[rows] uint64``.
        alone: A word of it alone as a number, ``[rows] uint64``.
        length: Its bytes, ``[rows] int64``.
        pieces: The first row of several fragments, ``[rows] int64``.
        size: The number of these, ``[rows] int64``.
    """

    kind: NDArray[np.uint8]
    value: Hashes
    alone: Hashes
    length: Ints
    pieces: Ints
    size: Ints

    @classmethod
    def of(
        cls,
        written: NDArray[np.uint8],
        bounds: Ints,
        opens: NDArray[np.bool_],
        closes: NDArray[np.bool_],
    ) -> TokenFragments:
        """Fold the bytes of tokens, those of token ``i`` ``written[bounds[i] : bounds[i + 1]]``."""
        parts, before, after = _fragments(written, bounds)
        number = len(bounds) - 1
        count = np.bincount(parts.token, minlength=number).astype(np.int64)
        first = np.cumsum(count) - count
        one, several = count == 1, np.flatnonzero(count > 1)
        before, after = before | opens, after | closes
        before[count > 0] |= parts.begins[first[count > 0]]
        kind = np.where(one, HAS | np.where(before, BEFORE, 0) | np.where(after, 0, OPEN), 0)
        kind[(count == 0) & (before | after)] = PARTS
        kind[several] = SEVERAL
        behind = np.flatnonzero(count[parts.token] > 1)
        in_token = behind - first[parts.token[behind]]
        token = parts.token[behind]
        is_last = in_token == count[token] - 1
        begins = np.where(in_token == 0, before[token], parts.begins[behind])
        pieces = np.zeros(number, np.int64)
        pieces[several] = number + np.cumsum(count[several]) - count[several]
        more = HAS | np.where(begins, BEFORE, 0) | np.where(is_last & after[token], 0, OPEN)
        none = np.zeros(len(behind), np.int64)
        value, length = np.zeros(number, np.uint64), np.zeros(number, np.int64)
        value[one], length[one] = parts.value[first[one]], parts.length[first[one]]
        value = np.concatenate([value, parts.value[behind]])
        return cls(
            np.concatenate([kind, more]).astype(np.uint8),
            value,
            mixed(value),
            np.concatenate([length, parts.length[behind]]),
            np.concatenate([pieces, none]),
            np.concatenate([count, none]),
        )

    def followed_by(self, others: TokenFragments) -> TokenFragments:
        """Return these rows and others behind them."""
        moved = others._replace(pieces=others.pieces + len(self.kind))
        pairs: Iterator[tuple[NDArray[Any], NDArray[Any]]] = zip(self, moved, strict=True)
        return TokenFragments(*map(np.concatenate, pairs))


class _Fragments(NamedTuple):
    """Fragments, token by token: of each its token, value, length, and whether it begins a word."""

    token: Ints
    value: Hashes
    length: Ints
    begins: NDArray[np.bool_]


def _fragments(
    written: NDArray[np.uint8], bounds: Ints
) -> tuple[_Fragments, NDArray[np.bool_], NDArray[np.bool_]]:
    """Return the fragments of tokens, and whether each parts words before and after them."""
    number = len(bounds) - 1
    length = np.diff(bounds)
    token = np.repeat(np.arange(number), length)
    is_wide = np.zeros(number, np.bool_)
    is_wide[token[written >= 0x80]] = True
    # Nearly all of a vocabulary is ASCII: all of it at once.
    lower = written + np.where((written >= 65) & (written <= 90), 32, 0).astype(np.uint8)
    letter = ((lower >= 97) & (lower <= 122)) | ((lower >= 48) & (lower <= 57))
    begins = letter & ~is_wide[token]
    letter = begins.copy()
    worded = np.flatnonzero(length > 0)
    goes_on = np.zeros(len(letter), np.bool_)
    goes_on[1:] = letter[:-1]
    goes_on[bounds[worded]] = False
    begins &= ~goes_on
    before, after = np.zeros(number, np.bool_), np.zeros(number, np.bool_)
    before[worded], after[worded] = ~letter[bounds[worded]], ~letter[bounds[worded + 1] - 1]
    at, start = np.flatnonzero(letter), np.flatnonzero(begins)
    plain = token[start]
    is_first = np.diff(plain, prepend=-1) != 0
    found = _Fragments(
        plain,
        _polynomials(lower[at], np.flatnonzero(begins[at])),
        np.diff(np.flatnonzero(begins[at]), append=len(at)),
        ~is_first,
    )
    wide = np.flatnonzero(is_wide)
    if not len(wide):
        return found, before, after
    data, ends = written.tobytes(), bounds.tolist()
    folded = [fold(data[ends[one] : ends[one + 1]]) for one in wide.tolist()]
    before[wide] = [one.parts_before for one in folded]
    after[wide] = [one.parts_after for one in folded]
    texts = [text for one in folded for text, _ in one.fragments]
    sizes = np.array([len(text) for text in texts], np.int64)
    others = _Fragments(
        np.repeat(wide, [len(one.fragments) for one in folded]),
        _polynomials(np.frombuffer(b"".join(texts), np.uint8), np.cumsum(sizes) - sizes),
        sizes,
        np.array([begins for one in folded for _, begins in one.fragments], np.bool_),
    )
    order = np.argsort(np.concatenate([found.token, others.token]), kind="stable")
    pairs: Iterator[tuple[NDArray[Any], NDArray[Any]]] = zip(found, others, strict=True)
    return _Fragments(*(np.concatenate(pair)[order] for pair in pairs)), before, after


def mixed(numbers: Hashes) -> Hashes:
    """Scramble numbers, so that every bit of a result depends on all bits of its number."""
    result: Hashes = numbers ^ (numbers >> np.uint64(30))
    result *= _MIX
    result ^= result >> np.uint64(27)
    result *= np.uint64(_BASE)
    result ^= result >> np.uint64(31)
    return result


def _polynomials(written: NDArray[np.uint8], first: Ints) -> Hashes:
    """Return each text's bytes as a polynomial modulo 2^64; text ``i`` begins at ``first[i]``."""
    if not len(first):
        return np.zeros(0, np.uint64)
    sizes = np.diff(first, append=len(written))
    place = np.arange(len(written)) - np.repeat(first, sizes)
    terms = (written.astype(np.uint64) + np.uint64(1)) * powers(int(sizes.max()))[place]
    return np.add.reduceat(terms, first)


@cache
def _powers(bits: int) -> Hashes:
    """Return the powers of the base from 0 to ``2^bits - 1``, modulo 2^64."""
    found = np.full(1 << bits, _BASE, np.uint64)
    found[0] = 1
    return np.cumprod(found)


def powers(most: int) -> Hashes:
    """Return the powers of the base from 0 to ``most`` and somewhat more, modulo 2^64."""
    return _powers(most.bit_length())
