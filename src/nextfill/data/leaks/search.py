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

from nextfill.data.division import also_in
from nextfill.data.leaks.found import Leak, Leaks
from nextfill.data.leaks.runs import runs_of
from nextfill.data.leaks.words import FoldedVocabulary, Hashes, Ints
from nextfill.data.parts import Part
from nextfill.data.tokens.pieces import read_pieces
from nextfill.data.tokens.tokenize import plain_backend

NEAR = 0.5
"""Share of a document's runs that stand in the training data from which on it counts as leaked.

One shared run would do there; we want more, because a quotation is no leak.
"""

MOST_PAIRS = 100
"""Pairs of documents that are named."""

_FILTER_BITS = 26
_NONE = np.iinfo(np.int64).max
"""No document."""


def find_leaks(
    train: Part,
    held_out: Part,
    tokenizer: Any,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Leaks:
    """Find the held-out documents that also stand in the training part.

    Args:
        train: What is trained on.
        held_out: What is scored, tokenized by the same tokenizer.
        tokenizer: That tokenizer, a transformers one with a fast backend or that backend.
        on_progress: Told of training tokens gone through, and of how many there are.

    Returns:
        What was found.
    """
    vocabulary = FoldedVocabulary.of(read_pieces(plain_backend(tokenizer)))
    rows, numbers = held_out.store.documents, held_out.documents
    mine = _HeldOut.of(held_out, vocabulary)
    theirs = _Found.in_part(train, mine, vocabulary, on_progress)
    same_text = also_in(rows[numbers], train.store.documents[train.documents])
    exact = same_text | (theirs.twin != _NONE)
    runs = np.bincount(mine.owner, minlength=len(numbers))
    shared = theirs.first[mine.run] != _NONE
    share = np.bincount(mine.owner[shared], minlength=len(numbers)) / np.maximum(runs, 1)
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
        owner: Of each run of a document which of the documents it is, ascending, ``[R] int64``.
        run: Which of the runs it is, ``[R] int64``; in a document each once.
    """

    text: Hashes
    runs: Hashes
    owner: Ints
    run: Ints

    @classmethod
    def of(cls, part: Part, vocabulary: FoldedVocabulary) -> _HeldOut:
        text = np.zeros(len(part.documents), np.uint64)
        owners, numbers = [np.zeros(0, np.int64)], [np.zeros(0, np.uint64)]
        for found in runs_of(part, vocabulary):
            text[np.searchsorted(part.documents, found.documents)] = found.text
            owners.append(np.searchsorted(part.documents, found.owner))
            numbers.append(found.number)
        owner, number = _each_once(np.concatenate(owners), np.concatenate(numbers))
        runs, run = np.unique(number, return_inverse=True)
        return cls(text, runs, owner, run)


@dataclass(frozen=True)
class _Found:
    """What of it stands in the training part.

    Args:
        twin: The first training document with the words of each held-out one, ``[D] int64``.
        first: The first training document with each run, ``[K] int64``.
        count: Training documents with each run, ``[K] int64``.
    """

    twin: Ints
    first: Ints
    count: Ints

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
        first = np.full(len(mine.runs), _NONE)
        count = np.zeros(len(mine.runs), np.int64)
        first_text = np.full(len(texts) + 1, _NONE)  # the last stands for documents without words
        for found in runs_of(part, vocabulary, on_progress):
            hit, which = runs.find(found.number)
            which, document = _each_once(which, found.owner[hit])
            np.minimum.at(first, which, document)
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
        self._shift = np.uint64(64 - _FILTER_BITS)
        self._likely = np.zeros(1 << _FILTER_BITS, np.bool_)
        self._likely[numbers >> self._shift] = True

    def find(self, numbers: Hashes) -> tuple[Ints, Ints]:
        """Return which of some numbers are known, and the place of each."""
        likely = np.flatnonzero(self._likely[numbers >> self._shift])
        place = np.searchsorted(self._numbers, numbers[likely])
        hit = np.flatnonzero(place < len(self._numbers))
        hit = hit[self._numbers[place[hit]] == numbers[likely[hit]]]
        return likely[hit], place[hit]


def _each_once(first: Any, second: Any) -> tuple[Any, Any]:
    """Return pairs in order, each once, ``[n]`` and ``[n]``."""
    order = np.lexsort((second, first))
    first, second = first[order], second[order]
    new = np.ones(len(first), np.bool_)
    new[1:] = (np.diff(first) != 0) | (second[1:] != second[:-1])
    return first[new], second[new]


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
            some = slice(*np.searchsorted(mine.owner, [at, at + 1]).tolist())
            run = mine.run[some]
            run = run[theirs.count[run] > 0]
            if not len(run):  # the same text, without words
                continue
            candidates, which = np.unique(theirs.first[run], return_inverse=True)
            twin = int(candidates[np.argmax(np.bincount(which, 1 / theirs.count[run]))])
        yield Leak(int(ours[held_out.documents[at]]), int(others[twin]), float(share[at]))
        named += 1
        if named == MOST_PAIRS:
            return
