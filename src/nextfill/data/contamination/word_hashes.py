"""Words as numbers that compare equal whatever their case, accents and punctuation."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nextfill.data.packing.block_plan import count_up
from nextfill.data.store.character_classes import MARK, OTHER, SPACE, classes
from nextfill.data.store.vocabulary import Vocabulary

Ints = NDArray[np.int64]
Hashes = NDArray[np.uint64]

MOST_TOKENS = 4
"""Most tokens that one character is divided between."""

_BASE = 0x9E3779B97F4A7C15
_MIX = np.uint64(0xBF58476D1CE4E5B9)
_BITS = 2**64 - 1


class Folded(NamedTuple):
    """A token's fragments, each with whether a word always begins with it.

    ``parts_before``: something other than letters is before the first of them; ``parts_after``:
    after the last.
    """

    fragments: list[tuple[bytes, bool]]
    parts_before: bool
    parts_after: bool


def fold(written: bytes) -> Folded:
    """Cut the bytes of a token into fragments."""
    fragments: list[tuple[bytes, bool]] = []
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
    kind = int(classes(np.array([ord(character)], np.uint32))[0])
    return kind not in (OTHER, SPACE, MARK)


@cache
def _letters(character: str) -> bytes:
    """Return a letter or digit in lower case and without accents; nothing for other characters."""
    if not character.isalnum():
        return b""
    plain = unicodedata.normalize("NFKD", character.casefold())
    return "".join(c for c in plain if not unicodedata.category(c).startswith("M")).encode()


class Words(NamedTuple):
    """Words of some documents.

    Args:
        number: Each word's letters as a number, ``[W] uint64``.
        document: The document of each word, from 0, ascending, ``[W] int64``.
    """

    number: Hashes
    document: Ints


@dataclass(frozen=True)
class FoldedVocabulary:
    """The fragments of words that the ids of a vocabulary write.

    Args:
        vocabulary: The bytes of each id.
        goes_on: Whether an id begins within a character, ``[ids] bool``.
        tables: The fragments of each id.
    """

    vocabulary: Vocabulary
    goes_on: NDArray[np.bool_]
    tables: _Tables

    @classmethod
    def of(cls, vocabulary: Vocabulary) -> FoldedVocabulary:
        """Fold the bytes of each id."""
        data, bounds = vocabulary.written.tobytes(), vocabulary.bounds.tolist()
        written = [data[first:stop] for first, stop in pairwise(bounds)]
        goes_on = np.array(
            [0x80 <= text[0] < 0xC0 if text else False for text in written], np.bool_
        )
        opens, closes = vocabulary.opens | vocabulary.alone, vocabulary.closes | vocabulary.alone
        return cls(vocabulary, goes_on, _Tables.of(written, opens, closes))

    def words(self, token_ids: NDArray[np.integer[Any]], lengths: Ints) -> Words:
        """Return the words of documents.

        Args:
            token_ids: The ids of documents, one after the other, ``[T]``.
            lengths: Tokens of each document, ``[D]``.

        Returns:
            The words that have a letter or digit.
        """
        ids = token_ids.astype(np.int64)
        document = np.repeat(np.arange(len(lengths)), lengths)
        tables = self.tables
        if self.goes_on[ids].any():
            ids, document, tables = self._with_whole_characters(ids, document)
        parts = tables.parts_before[ids]
        parts[1:] |= tables.parts_after[ids[:-1]] | (np.diff(document) > 0)
        section = np.cumsum(parts)
        count = tables.bounds[ids + 1] - tables.bounds[ids]
        token = np.repeat(np.arange(len(ids)), count)
        if not len(token):
            return Words(np.zeros(0, np.uint64), np.zeros(0, np.int64))
        ends = np.cumsum(count)
        fragment = np.arange(len(token)) + np.repeat(tables.bounds[ids] - (ends - count), count)
        begins = tables.begins[fragment]
        begins[0] = True
        begins[1:] |= np.diff(section[token]) > 0
        first = np.flatnonzero(begins)
        length = tables.length[fragment]
        before = np.cumsum(length) - length
        place = before - np.repeat(before[first], np.diff(np.append(first, len(token))))
        value = tables.value[fragment] * _powers(int(place.max()))[place]
        return Words(mixed(np.add.reduceat(value, first)), document[token[first]])

    def _with_whole_characters(self, ids: Ints, document: Ints) -> tuple[Ints, Ints, _Tables]:
        """Join the tokens of each divided character into one, with an id behind the vocabulary."""
        goes_on = self.goes_on[ids]
        goes_on[1:] &= np.diff(document) == 0
        goes_on[:1] = False
        first = np.flatnonzero(~goes_on)
        count = np.diff(np.append(first, len(ids)))
        # A character has at most four bytes; a longer sequence is no text.
        first = np.repeat(first, -(-count // MOST_TOKENS))
        first += MOST_TOKENS * count_up(-(-count // MOST_TOKENS))
        count = np.minimum(np.diff(np.append(first, len(ids))), MOST_TOKENS)
        several = np.flatnonzero(count > 1)
        groups = np.full((len(several), MOST_TOKENS), -1)
        for at in range(MOST_TOKENS):
            some = count[several] > at
            groups[some, at] = ids[first[several[some]] + at]
        made, which = np.unique(groups, axis=0, return_inverse=True)
        whole, whole_document = ids[first], document[first]
        whole[several] = len(self.goes_on) + which.ravel()
        return whole, whole_document, self.tables.followed_by(self._joined(made))

    def _joined(self, groups: Ints) -> _Tables:
        data, bounds = self.vocabulary.written, self.vocabulary.bounds
        rows = [[one for one in row if one >= 0] for row in groups.tolist()]
        written = [
            b"".join(data[bounds[one] : bounds[one + 1]].tobytes() for one in row) for row in rows
        ]
        opens = self.vocabulary.opens[[row[0] for row in rows]]
        closes = self.vocabulary.closes[[row[-1] for row in rows]]
        return _Tables.of(written, opens, closes)


class _Tables(NamedTuple):
    """Fragments of words by token, mostly one each.

    A fragment is a run of letters and digits, in lower case and without accents; a character of a
    script without spaces is a word of its own.

    Args:
        value: Each fragment's bytes as a polynomial, ``[F] uint64``.
        length: Bytes of each fragment, ``[F] int64``.
        begins: Whether a word always begins with it, ``[F] bool``.
        bounds: Fragments of token ``i`` are ``bounds[i]`` to ``bounds[i + 1]``.
        parts_before: No word goes on into a token, ``[tokens] bool``.
        parts_after: No word goes on after it, ``[tokens] bool``.
    """

    value: Hashes
    length: Ints
    begins: NDArray[np.bool_]
    bounds: Ints
    parts_before: NDArray[np.bool_]
    parts_after: NDArray[np.bool_]

    @classmethod
    def of(
        cls, written: Sequence[bytes], opens: NDArray[np.bool_], closes: NDArray[np.bool_]
    ) -> _Tables:
        """Fold the bytes of tokens."""
        folded = [fold(text) for text in written]
        fragments = [one for token in folded for one in token.fragments]
        counts = [len(token.fragments) for token in folded]
        return cls(
            value=np.array([_value(text) for text, _ in fragments], np.uint64),
            length=np.array([len(text) for text, _ in fragments], np.int64),
            begins=np.array([begins for _, begins in fragments], np.bool_),
            bounds=np.concatenate([[0], np.cumsum(counts, dtype=np.int64)]).astype(np.int64),
            parts_before=opens | np.array([token.parts_before for token in folded], np.bool_),
            parts_after=closes | np.array([token.parts_after for token in folded], np.bool_),
        )

    def followed_by(self, others: _Tables) -> _Tables:
        """Return these tokens and others behind them."""
        moved = others._replace(bounds=others.bounds[1:] + self.bounds[-1])
        return _Tables(*(np.concatenate(pair) for pair in zip(self, moved, strict=True)))


def mixed(numbers: Hashes) -> Hashes:
    """Scramble numbers, so that every bit of a result depends on all bits of its number."""
    result: Hashes = numbers ^ (numbers >> np.uint64(30))
    result *= _MIX
    result ^= result >> np.uint64(27)
    result *= np.uint64(_BASE)
    result ^= result >> np.uint64(31)
    return result


def _value(text: bytes) -> int:
    """Return the polynomial of bytes at the base, modulo 2^64."""
    value = 0
    for byte in reversed(text):
        value = (value * _BASE + byte + 1) & _BITS
    return value


def _powers(most: int) -> Hashes:
    """Return the powers of the base from 0 to ``most``, modulo 2^64."""
    powers = np.full(most + 1, _BASE, np.uint64)
    powers[0] = 1
    return np.cumprod(powers)
