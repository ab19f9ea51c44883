"""Words as numbers that compare equal whatever their case, accents and punctuation."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import pairwise
from threading import Lock
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
        per_document: Words of each document, ``[D] int64``.
    """

    number: Hashes
    per_document: Ints

    @property
    def document(self) -> Ints:
        """The document of each word, from 0, ascending, ``[W] int64``."""
        return np.repeat(np.arange(len(self.per_document)), self.per_document)


class FoldedVocabulary:
    """The fragments of words that the ids of a vocabulary write.

    Args:
        vocabulary: The bytes of each id.
        goes_on: Whether an id begins within a character, ``[ids] bool``.
        tables: The fragments of each id.
    """

    def __init__(self, vocabulary: Vocabulary, goes_on: NDArray[np.bool_], tables: _Tables) -> None:
        self._vocabulary = vocabulary
        self._goes_on = goes_on
        # Those of divided characters are put behind them as they are met.
        self._tables = tables
        self._joined: dict[tuple[int, ...], int] = {}
        self._lock = Lock()

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
        """Return the words of documents; several threads may call it.

        Args:
            token_ids: The ids of documents, one after the other, ``[T]``.
            lengths: Tokens of each document, ``[D]``.

        Returns:
            The words that have a letter or digit.
        """
        ids, ends, tables = self._whole_characters(token_ids, np.cumsum(lengths))
        parts = tables.parts_before[ids]
        parts[1:] |= tables.parts_after[ids[:-1]]
        parts[ends[:-1][ends[:-1] < len(ids)]] = True
        count = tables.fragments[ids]
        token = np.flatnonzero(count)  # of each fragment
        if not len(token):
            return Words(np.zeros(0, np.uint64), np.zeros(len(ends), np.int64))
        section = np.cumsum(parts, dtype=np.int32)[token]
        begins = np.ones(len(token), np.bool_)
        np.not_equal(section[1:], section[:-1], out=begins[1:])
        fragment, count = tables.first[ids[token]], count[token]
        if int(count.max()) > 1:
            within = count_up(count)
            fragment = np.repeat(fragment, count) + within
            token, begins = np.repeat(token, count), np.repeat(begins, count) & (within == 0)
        begins |= tables.begins[fragment]
        first, rest = np.flatnonzero(begins), np.flatnonzero(~begins)
        number = tables.value[fragment[first]]
        if len(rest):
            word = rest - np.arange(1, len(rest) + 1)  # as many begin before as do not
            length = tables.length[fragment]
            before = np.cumsum(length) - length
            place = before[rest] - before[first[word]]
            powers = _powers(int(place.max()))
            np.add.at(number, word, tables.value[fragment[rest]] * powers[place])
        last = np.searchsorted(token[first], ends)
        return Words(mixed(number), np.diff(last, prepend=0))

    def _whole_characters(
        self, ids: NDArray[np.integer[Any]], ends: Ints
    ) -> tuple[NDArray[np.integer[Any]], Ints, _Tables]:
        """Join the tokens of each divided character into one, with an id behind the vocabulary."""
        goes_on = self._goes_on[ids]
        begun = np.concatenate([[0], ends[:-1]])
        goes_on[begun[begun < len(ids)]] = False
        places = np.flatnonzero(goes_on)
        if not len(places):
            return ids, ends, self._tables
        is_first = np.diff(places, prepend=-1) != 1
        is_first[0] = True
        size = np.diff(np.flatnonzero(is_first), append=len(places)) + 1
        # A character has at most four bytes; a longer sequence is no text.
        count = -(-size // MOST_TOKENS)
        at = MOST_TOKENS * count_up(count)
        first = np.repeat(places[is_first] - 1, count) + at
        size = np.minimum(np.repeat(size, count) - at, MOST_TOKENS)
        kept = ~goes_on
        kept[first] = True
        first, size = first[size > 1], size[size > 1]
        groups = np.full((len(first), MOST_TOKENS), -1)
        for at_ in range(MOST_TOKENS):
            some = size > at_
            groups[some, at_] = ids[first[some] + at_]
        joined, tables = self._ids_of(groups)
        whole = ids.astype(np.int64)
        whole[first] = joined
        return whole[kept], np.concatenate([[0], np.cumsum(kept)])[ends], tables

    def _ids_of(self, groups: Ints) -> tuple[Ints, _Tables]:
        """Return the ids behind the vocabulary of some groups of ids, and the tables with them."""
        made, which = _unique_rows(groups)
        rows = [tuple(one for one in row if one >= 0) for row in made.tolist()]
        with self._lock:
            if new := [row for row in rows if row not in self._joined]:
                self._tables = self._tables.followed_by(self._fold_joined(new))
                for row in new:
                    self._joined[row] = len(self._goes_on) + len(self._joined)
            tables = self._tables
            found = np.array([self._joined[row] for row in rows], np.int64)
        return found[which], tables

    def _fold_joined(self, rows: Sequence[tuple[int, ...]]) -> _Tables:
        data, bounds = self._vocabulary.written, self._vocabulary.bounds
        written = [
            b"".join(data[bounds[one] : bounds[one + 1]].tobytes() for one in row) for row in rows
        ]
        opens = self._vocabulary.opens[[row[0] for row in rows]]
        closes = self._vocabulary.closes[[row[-1] for row in rows]]
        return _Tables.of(written, opens, closes)


def _unique_rows(groups: Ints) -> tuple[Ints, Ints]:
    """Return the different rows of groups of ids, and of each group its place among them."""
    bits = 64 // groups.shape[1]
    if int(groups.max(initial=0)) + 1 >= 1 << bits:
        made, which = np.unique(groups, axis=0, return_inverse=True)
        return made, which.ravel()
    key = np.zeros(len(groups), np.uint64)  # sorting one number is much faster
    for column in (groups + 1).astype(np.uint64).T:
        key = key << np.uint64(bits) | column
    _, place, which = np.unique(key, return_index=True, return_inverse=True)
    return groups[place], which


class _Tables(NamedTuple):
    """Fragments of words by token, mostly one each.

    A fragment is a run of letters and digits, in lower case and without accents; a character of a
    script without spaces is a word of its own.

    Args:
        value: Each fragment's bytes as a polynomial, ``[F] uint64``.
        length: Bytes of each fragment, ``[F] int64``.
        begins: Whether a word always begins with it, ``[F] bool``.
        first: The first fragment of each token, ``[tokens] int64``.
        fragments: Its number of fragments, ``[tokens] int32``.
        parts_before: No word goes on into a token, ``[tokens] bool``.
        parts_after: No word goes on after it, ``[tokens] bool``.
    """

    value: Hashes
    length: Ints
    begins: NDArray[np.bool_]
    first: Ints
    fragments: NDArray[np.int32]
    parts_before: NDArray[np.bool_]
    parts_after: NDArray[np.bool_]

    @classmethod
    def of(
        cls, written: Sequence[bytes], opens: NDArray[np.bool_], closes: NDArray[np.bool_]
    ) -> _Tables:
        """Fold the bytes of tokens."""
        folded = [fold(text) for text in written]
        fragments = [one for token in folded for one in token.fragments]
        count = np.array([len(token.fragments) for token in folded], np.int32)
        return cls(
            value=_values([text for text, _ in fragments]),
            length=np.array([len(text) for text, _ in fragments], np.int64),
            begins=np.array([begins for _, begins in fragments], np.bool_),
            first=np.cumsum(count, dtype=np.int64) - count,
            fragments=count,
            parts_before=opens | np.array([token.parts_before for token in folded], np.bool_),
            parts_after=closes | np.array([token.parts_after for token in folded], np.bool_),
        )

    def followed_by(self, others: _Tables) -> _Tables:
        """Return these tokens and others behind them."""
        moved = others._replace(first=others.first + len(self.value))
        pairs: Iterator[tuple[NDArray[Any], NDArray[Any]]] = zip(self, moved, strict=True)
        return _Tables(*map(np.concatenate, pairs))


def mixed(numbers: Hashes) -> Hashes:
    """Scramble numbers, so that every bit of a result depends on all bits of its number."""
    result: Hashes = numbers ^ (numbers >> np.uint64(30))
    result *= _MIX
    result ^= result >> np.uint64(27)
    result *= np.uint64(_BASE)
    result ^= result >> np.uint64(31)
    return result


def _values(texts: Sequence[bytes]) -> Hashes:
    """Return the polynomial of each text's bytes at the base, modulo 2^64; none is empty."""
    length = np.array([len(text) for text in texts], np.int64)
    if not len(length):
        return np.zeros(0, np.uint64)
    place = count_up(length)
    bytes_ = np.frombuffer(b"".join(texts), np.uint8).astype(np.uint64) + np.uint64(1)
    bytes_ *= _powers(int(place.max()))[place]
    return np.add.reduceat(bytes_, np.cumsum(length) - length)


def _powers(most: int) -> Hashes:
    """Return the powers of the base from 0 to ``most``, modulo 2^64."""
    powers = np.full(most + 1, _BASE, np.uint64)
    powers[0] = 1
    return np.cumprod(powers)
