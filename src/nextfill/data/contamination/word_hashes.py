"""Words as numbers that compare equal whatever their case, accents and punctuation."""

from __future__ import annotations

from threading import Lock
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nextfill.data.contamination.token_fragments import (
    BEFORE,
    GOES_ON,
    HAS,
    OPEN,
    SEVERAL,
    Hashes,
    Ints,
    TokenFragments,
    mixed,
    powers,
)
from nextfill.data.packing.block_plan import count_up
from nextfill.data.store.vocabulary import Vocabulary

MOST_TOKENS = 4
"""Most tokens that one character is divided between."""


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
        fragments: The fragments of each id.
    """

    def __init__(self, vocabulary: Vocabulary, fragments: TokenFragments) -> None:
        self._vocabulary = vocabulary
        # Those of divided characters are put behind them as they are met.
        self._fragments = fragments
        self._joined: dict[tuple[int, ...], int] = {}
        self._lock = Lock()

    @classmethod
    def of(cls, vocabulary: Vocabulary) -> FoldedVocabulary:
        """Fold the bytes of each id."""
        written, bounds = vocabulary.written, vocabulary.bounds
        opens, closes = vocabulary.opens | vocabulary.alone, vocabulary.closes | vocabulary.alone
        fragments = TokenFragments.of(written, bounds, opens, closes)
        some = np.flatnonzero(np.diff(bounds) > 0)
        first = written[bounds[some]]
        fragments.kind[some[(first >= 0x80) & (first < 0xC0)]] |= GOES_ON
        return cls(vocabulary, fragments)

    def words(self, token_ids: NDArray[np.integer[Any]], lengths: Ints) -> Words:
        """Return the words of documents; several threads may call it.

        Args:
            token_ids: The ids of documents, one after the other, ``[T]``.
            lengths: Tokens of each document, ``[D]``.

        Returns:
            The words that have a letter or digit.
        """
        ids, ends = token_ids.astype(np.intp), np.cumsum(lengths)
        fragments = self._fragments
        kind = fragments.kind[ids]
        begun = ends - lengths
        begun = begun[begun < len(ids)]
        kind[begun] &= ~GOES_ON
        divided = np.flatnonzero(kind & GOES_ON)
        if len(divided):
            fragments = self._join(divided, ids, kind)
        kind[begun] |= BEFORE
        several = np.flatnonzero(kind & SEVERAL)
        if len(several):
            ids, kind, ends = _apart(several, ids, kind, ends, fragments)
        has = (kind & HAS) != 0
        begins = has & _begins(kind)
        first, rest = np.flatnonzero(begins), np.flatnonzero(has ^ begins)
        number = fragments.alone[ids[first]]
        if len(rest):
            word = np.cumsum(begins, dtype=np.int32)[rest] - 1
            _put_together(number, word, ids[first], ids[rest], fragments)
        return Words(number, np.diff(np.searchsorted(first, ends), prepend=0))

    def _join(self, divided: Ints, ids: Ints, kind: NDArray[np.uint8]) -> TokenFragments:
        """Put each divided character in the place of the first of its tokens; return all rows.

        Args:
            divided: The places of tokens that begin within a character.
            ids: The tokens, changed in place.
            kind: What each is to words; of a character's tokens after the first, nothing.
        """
        is_first = np.diff(divided, prepend=-1) != 1
        is_first[0] = True
        size = np.diff(np.flatnonzero(is_first), append=len(divided)) + 1
        # A character has at most four bytes; a longer sequence is no text.
        count = -(-size // MOST_TOKENS)
        at = MOST_TOKENS * count_up(count)
        first = np.repeat(divided[is_first] - 1, count) + at
        size = np.minimum(np.repeat(size, count) - at, MOST_TOKENS)
        kept = kind[first]
        kind[divided] = 0
        kind[first] = kept
        first, size = first[size > 1], size[size > 1]
        groups = np.full((len(first), MOST_TOKENS), -1)
        for at_ in range(MOST_TOKENS):
            some = size > at_
            groups[some, at_] = ids[first[some] + at_]
        ids[first], fragments = self._ids_of(groups)
        kind[first] = fragments.kind[ids[first]]
        return fragments

    def _ids_of(self, groups: Ints) -> tuple[Ints, TokenFragments]:
        """Return the rows behind the vocabulary of some groups of ids, and all rows with them."""
        made, which = _unique_rows(groups)
        rows = [tuple(one for one in row if one >= 0) for row in made.tolist()]
        with self._lock:
            if new := [row for row in rows if row not in self._joined]:
                before = len(self._fragments.kind)
                self._fragments = self._fragments.followed_by(self._fold_joined(new))
                self._joined |= {row: before + at for at, row in enumerate(new)}
            fragments = self._fragments
            found = np.array([self._joined[row] for row in rows], np.int64)
        return found[which], fragments

    def _fold_joined(self, rows: list[tuple[int, ...]]) -> TokenFragments:
        data, bounds = self._vocabulary.written, self._vocabulary.bounds
        written = [
            b"".join(data[bounds[one] : bounds[one + 1]].tobytes() for one in row) for row in rows
        ]
        opens = self._vocabulary.opens[[row[0] for row in rows]]
        closes = self._vocabulary.closes[[row[-1] for row in rows]]
        ends = np.cumsum([0, *map(len, written)], dtype=np.int64)
        return TokenFragments.of(np.frombuffer(b"".join(written), np.uint8), ends, opens, closes)


def _apart(
    several: Ints,
    ids: Ints,
    kind: NDArray[np.uint8],
    ends: Ints,
    fragments: TokenFragments,
) -> tuple[Ints, NDArray[np.uint8], Ints]:
    """Put the fragments of tokens with several in their places; ``ends`` are moved with them."""
    count = fragments.size[ids[several]]
    more = np.cumsum(count - 1) - (count - 1)
    within = count_up(count)
    places = np.repeat(several + more, count) + within
    pieces = np.repeat(fragments.pieces[ids[several]], count) + within
    each = np.ones(len(ids), np.int64)
    each[several] = count
    begun = kind[several] & BEFORE
    ids, kind = np.repeat(ids, each), np.repeat(kind, each)
    ids[places], kind[places] = pieces, fragments.kind[pieces]
    kind[several + more] |= begun
    return ids, kind, np.concatenate([[0], np.cumsum(each)])[ends]


def _begins(kind: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Mark the tokens at which no word goes on, ``[T] bool``; at the first none does."""
    closed = (kind & OPEN) == 0
    silent = np.flatnonzero(kind == 0)
    if len(silent):  # across them a word goes on as if they were not there
        is_first = np.diff(silent, prepend=-2) != 1
        size = np.diff(np.flatnonzero(is_first), append=len(silent))
        closed[silent] = np.repeat(closed[silent[is_first] - 1], size)
    begins: NDArray[np.bool_] = (kind & BEFORE) != 0
    begins[1:] |= closed[:-1]
    return begins


def _put_together(
    number: Hashes, word: NDArray[np.int32], first: Ints, rest: Ints, fragments: TokenFragments
) -> None:
    """Change the numbers of words that go on in further fragments.

    Args:
        number: Each word's number, by its first fragment alone, ``[W]``.
        word: The word of each further fragment, ascending, ``[R]``.
        first: The row of each word's first fragment, ``[W]``.
        rest: The row of each further fragment, ``[R]``.
        fragments: All rows.
    """
    length = fragments.length[rest]
    before = np.cumsum(length) - length
    new = np.flatnonzero(np.diff(word, prepend=-1))
    longer = word[new]
    begun = first[longer]
    size = np.diff(new, append=len(rest))
    place = before - np.repeat(before[new] - fragments.length[begun], size)
    terms = fragments.value[rest] * powers(int(place.max()))[place]
    number[longer] = mixed(fragments.value[begun] + np.add.reduceat(terms, new))


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
