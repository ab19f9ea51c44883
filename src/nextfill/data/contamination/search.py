"""Find held-out documents that also stand in the training data, word for word or nearly.

What is compared are runs of 13 words, as numbers of 64 bits. Those of the held-out documents are
held in memory, the training documents are gone through once, so that the time is linear in both and
the memory hangs on the held-out part alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nextfill.data.contamination.leaks import Leak, Leaks
from nextfill.data.contamination.ngram_runs import runs_of
from nextfill.data.contamination.word_hashes import FoldedVocabulary, Hashes, Ints
from nextfill.data.store.encoder import plain_backend
from nextfill.data.store.vocabulary import read_pieces
from nextfill.data.train_test_split import Part, shared_texts

NEAR = 0.5
"""Share of a document's runs that stand in the training data from which on it counts as leaked.

One shared run would do there; we want more, because a quotation is no leak.
"""

MOST_PAIRS = 100
"""Pairs of documents that are named."""

_SPARE_BITS = 3
_MOST_BITS = 26
"""A table that says at once what is not there has 8 to 16 places a number, at most 64 million."""

_HALF = np.uint64(32)
"""Bits of either half of a pair that is one number."""

_NONE = np.iinfo(np.uint32).max
"""No document."""


def find_leaks(
    train: Part,
    held_out: Part,
    tokenizer: Any,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Leaks:
    """Find the held-out documents that also stand in the training part."""
    vocabulary = FoldedVocabulary.of(read_pieces(plain_backend(tokenizer)))
    rows, numbers = held_out.store.documents, held_out.documents
    mine = _HeldOut.of(held_out, vocabulary)
    theirs = _Found.in_part(train, mine, vocabulary, on_progress)
    same_text = shared_texts(rows[numbers], train.store.documents[train.documents])
    exact = same_text | (theirs.twin != _NONE)
    runs = np.diff(mine.bounds)
    shared = np.zeros(len(mine.run) + 1, np.uint32)
    np.cumsum(theirs.count[mine.run] > 0, out=shared[1:])
    share = np.diff(shared[mine.bounds]) / np.maximum(runs, 1)
    near = (share >= NEAR) & ~exact
    leaked = numbers[exact | near]
    return Leaks(
        documents=leaked,
        checked=held_out.num_texts,
        too_short=int(np.count_nonzero((rows["tokens"][numbers] > 0) & (runs == 0))),
        exact=int(exact.sum()),
        near=int(near.sum()),
        tokens=int(rows["tokens"][leaked].sum()),
        pairs=tuple(_pairs(train, held_out, mine, theirs, np.where(exact, 1.0, share))),
    )


@dataclass(frozen=True)
class _HeldOut:
    """What is looked for.

    Args:
        text: All words of each document as one number, ``[D] uint64``; 0 for none.
        runs: The runs as numbers, ascending, each once, ``[K] uint64``.
        run: Which of the runs each document has, document by document, ``[R] uint32``; in a
            document each once, ascending.
        bounds: Those of document ``d`` are ``run[bounds[d]:bounds[d + 1]]``, ``[D + 1] int64``.
    """

    text: Hashes
    runs: Hashes
    run: NDArray[np.uint32]
    bounds: Ints

    @classmethod
    def of(cls, part: Part, vocabulary: FoldedVocabulary) -> _HeldOut:
        text = np.zeros(len(part.documents), np.uint64)
        owners, numbers = [np.zeros(0, np.uint32)], [np.zeros(0, np.uint64)]
        for found in runs_of(part, vocabulary):
            text[np.searchsorted(part.documents, found.documents)] = found.text
            owners.append(np.searchsorted(part.documents, found.owner).astype(np.uint32))
            numbers.append(found.number)
        runs = _each_once(np.concatenate(numbers))
        # A document and its run make one number, so that the pairs are sorted where they lie; what
        # they are made of goes as they come, for there are as many as words.
        pairs = np.empty(sum(map(len, numbers)), np.uint64)
        stop = len(pairs)
        while numbers:
            some = _paired(owners.pop(), np.searchsorted(runs, numbers.pop()))
            pairs[stop - len(some) : stop] = some
            stop -= len(some)
        pairs = _each_once(pairs)
        ends = np.arange(len(part.documents) + 1, dtype=np.uint64) << _HALF
        return cls(text, runs, pairs.astype(np.uint32), np.searchsorted(pairs, ends))


@dataclass(frozen=True)
class _Found:
    """What of it stands in the training part.

    Args:
        twin: The first training document with the words of each held-out one, ``[D] int64``.
        first: The first training document with each run, ``[K] uint32``.
        count: Training documents with each run, ``[K] uint32``.
    """

    twin: Ints
    first: NDArray[np.uint32]
    count: NDArray[np.uint32]

    @classmethod
    def in_part(
        cls,
        part: Part,
        mine: _HeldOut,
        vocabulary: FoldedVocabulary,
        on_progress: Callable[[int, int], None],
    ) -> _Found:
        runs, texts = _Known(mine.runs), np.unique(mine.text[mine.text > 0])
        known_text = _Known(texts)
        first = np.full(len(mine.runs), _NONE, np.uint32)
        count = np.zeros(len(mine.runs), np.uint32)
        # The last stands for documents without words.
        first_text = np.full(len(texts) + 1, _NONE, np.int64)
        for found in runs_of(part, vocabulary, on_progress):
            hit, which = runs.find(found.number)
            pairs = _each_once(_paired(which, found.owner[hit]))
            which = (pairs >> _HALF).astype(np.int64)
            np.minimum.at(first, which, pairs.astype(np.uint32))
            np.add.at(count, which, 1)
            hit, which = known_text.find(found.text)
            np.minimum.at(first_text, which, found.documents[hit])
        place = np.where(mine.text > 0, np.searchsorted(texts, mine.text), len(texts))
        return cls(first_text[place], first, count)


class _Known:
    """Numbers that are looked for.

    Args:
        numbers: Ascending, each once, ``[K]``.
    """

    def __init__(self, numbers: Hashes) -> None:
        self._numbers = numbers
        # Nearly all that is asked for is not there: a table of their first bits says so at once.
        bits = min(len(numbers).bit_length() + _SPARE_BITS, _MOST_BITS)
        self._shift = np.uint64(64 - bits)
        self._likely = np.zeros(1 << bits, np.bool_)
        self._likely[numbers >> self._shift] = True

    def find(self, numbers: Hashes) -> tuple[Ints, Ints]:
        """Return which of some numbers are known, and the place of each."""
        likely = np.flatnonzero(self._likely[numbers >> self._shift])
        place = np.searchsorted(self._numbers, numbers[likely])
        hit = np.flatnonzero(place < len(self._numbers))
        hit = hit[self._numbers[place[hit]] == numbers[likely[hit]]]
        return likely[hit], place[hit]


def _each_once(numbers: Hashes) -> Hashes:
    """Sort numbers where they lie, and return each once, ``[n] uint64``."""
    numbers.sort()
    new = np.ones(len(numbers), np.bool_)
    new[1:] = numbers[1:] != numbers[:-1]
    return numbers[new]


def _paired(first: NDArray[Any], second: NDArray[Any]) -> Hashes:
    """Return pairs as one number each, ordered as the pairs are, ``[n] uint64``."""
    return first.astype(np.uint64) << _HALF | second.astype(np.uint64)


def _pairs(
    train: Part, held_out: Part, mine: _HeldOut, theirs: _Found, share: Any
) -> Iterator[Leak]:
    """Name the training document that shares most with each that leaked, the surest first.

    Where a run stands in several training documents the first is asked, and counts as much less.
    """
    ours, others = held_out.store.documents["record"], train.store.documents["record"]
    surest = [at for at in np.argsort(-share, kind="stable").tolist() if share[at] >= NEAR]
    named = 0
    for at in surest:
        twin = int(theirs.twin[at])
        if twin == _NONE:
            run = mine.run[mine.bounds[at] : mine.bounds[at + 1]]
            run = run[theirs.count[run] > 0]
            if not len(run):  # the same text, without words
                continue
            candidates, which = np.unique(theirs.first[run], return_inverse=True)
            twin = int(candidates[np.argmax(np.bincount(which, 1 / theirs.count[run]))])
        yield Leak(int(ours[held_out.documents[at]]), int(others[twin]), float(share[at]))
        named += 1
        if named == MOST_PAIRS:
            return
