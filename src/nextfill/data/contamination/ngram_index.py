"""The runs of 13 words of a part's documents, indexed, and those that another part has, too."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nextfill.data.contamination.number_set import NumberSet
from nextfill.data.contamination.token_fragments import Hashes, Ints
from nextfill.data.contamination.word_hashes import FoldedVocabulary
from nextfill.data.contamination.word_runs import Runs, runs_of
from nextfill.data.parts import Part

MOST_RUNS = 1 << 22
"""Runs of a part that are kept, of some 20 MB of text; of more a sample, to bound the memory."""

FEWEST_RUNS = 16
"""Runs of each document that are in a sample, on average at least; of one of fewer, all."""

_SAMPLED_BY = np.uint64(20)
"""The lowest bit by which runs are sampled: none of those by which they are found."""

NO_DOCUMENT = np.iinfo(np.uint32).max

_HALF = np.uint64(32)
"""Bits of either half of a pair that is one number."""


@dataclass(frozen=True)
class RunIndex:
    """The runs of a part, each once, and those of each document.

    Args:
        text: All words of each document as one number, ``[D] uint64``; 0 for none.
        runs: The runs as numbers, ascending, each once, ``[K] uint64``.
        run: The runs of each document as places in ``runs``, document by document,
            ``[R] uint32``; in a document each once, ascending.
        bounds: Those of document ``d`` are ``run[bounds[d]:bounds[d + 1]]``, ``[D + 1] int64``.
        one_in: How many runs one is kept of; 1 where all are.
    """

    text: Hashes
    runs: Hashes
    run: NDArray[np.uint32]
    bounds: Ints
    one_in: int = 1

    @classmethod
    def of(cls, part: Part, vocabulary: FoldedVocabulary) -> RunIndex:
        """Index the runs of a part in memory.

        Of documents with contexts they are those of what is learnt: many records may ask the same,
        and that is no leak of the answers.
        """
        text = np.zeros(len(part.documents), np.uint64)
        owners, numbers = [np.zeros(0, np.uint32)], [np.zeros(0, np.uint64)]
        has_contexts = part.store.contexts is not None
        one_in = _one_run_in(part)

        def with_owners(batch: Runs) -> tuple[NDArray[np.uint32], Hashes, NDArray[Any], Hashes]:
            place, number = batch.each()
            if one_in > 1:
                kept = _sample(place, number, one_in)
                place, number = place[kept], number[kept]
            documents = np.searchsorted(part.documents, batch.documents).astype(np.uint32)
            return documents[place], number, documents, batch.text

        for owner, number, documents, of_each in runs_of(part, vocabulary, with_owners):
            text[documents] = of_each
            if not has_contexts:
                owners.append(owner)
                numbers.append(number)
        if has_contexts:
            for owner, number, *_ in runs_of(part, vocabulary, with_owners, after_contexts=True):
                owners.append(owner)
                numbers.append(number)
        number, owner = np.concatenate(numbers), np.concatenate(owners)
        del numbers, owners
        order = np.argsort(number)
        number, owner = number[order], owner[order]
        del order
        is_new = np.ones(len(number), np.bool_)
        np.not_equal(number[1:], number[:-1], out=is_new[1:])
        runs = number[is_new]
        del number
        # A document and its run make one number, so that the pairs are sorted in place.
        pairs = _sorted_unique(_paired(owner, np.cumsum(is_new) - 1))
        ends = np.arange(len(part.documents) + 1, dtype=np.uint64) << _HALF
        bounds = np.searchsorted(pairs, ends)
        return cls(text, runs, pairs.astype(np.uint32), bounds, one_in)


def _one_run_in(part: Part) -> int:
    """Return how many runs of a part one is kept of, a power of 2."""
    more = -(-part.num_tokens // MOST_RUNS)
    return 1 << max(0, more - 1).bit_length()


def _sample(owner: Ints, number: Hashes, one_in: int) -> NDArray[np.bool_]:
    """Mark the runs that are kept, by their numbers alone, of a short document more of them.

    Args:
        owner: The place of each run's document, ``[R]``.
        number: The runs, ``[R]``.
        one_in: How many runs one is kept of, a power of 2.
    """
    enough = np.maximum(np.bincount(owner) // FEWEST_RUNS, 1)
    rate = np.minimum(1 << np.log2(enough).astype(np.int64), one_in).astype(np.uint64)
    kept: NDArray[np.bool_] = (number >> _SAMPLED_BY) & (rate - np.uint64(1))[owner] == 0
    return kept


@dataclass(frozen=True)
class SharedRuns:
    """The runs and texts of an index that another part has, too.

    Args:
        twin: The first document with the words of each indexed one, ``[D] int64``, or
            `NO_DOCUMENT`.
        first: The first document with each run, ``[K] uint32``, or `NO_DOCUMENT`.
        count: Documents with each run, ``[K] uint32``.
    """

    twin: Ints
    first: NDArray[np.uint32]
    count: NDArray[np.uint32]

    @classmethod
    def of(
        cls,
        part: Part,
        index: RunIndex,
        vocabulary: FoldedVocabulary,
        on_progress: Callable[[int, int], None],
    ) -> SharedRuns:
        """Go through a part once, and look its runs up in an index."""
        texts = np.unique(index.text[index.text > 0])
        indexed_runs, indexed_texts = NumberSet(index.runs), NumberSet(texts)
        first = np.full(len(index.runs), NO_DOCUMENT, np.uint32)
        count = np.zeros(len(index.runs), np.uint32)
        # The last place is for documents without words.
        first_text = np.full(len(texts) + 1, NO_DOCUMENT, np.int64)

        def found_in(batch: Runs) -> tuple[Hashes, Ints, Ints]:
            hit, which = indexed_runs.find(batch.number)
            is_run, owner = batch.owners(hit)
            pairs = _sorted_unique(_paired(which[is_run], owner))
            hit, which = indexed_texts.find(batch.text)
            return pairs, which, batch.documents[hit]

        for pairs, which_text, documents in runs_of(part, vocabulary, found_in, on_progress):
            which = (pairs >> _HALF).astype(np.int64)
            np.minimum.at(first, which, pairs.astype(np.uint32))
            np.add.at(count, which, 1)
            np.minimum.at(first_text, which_text, documents)
        place = np.where(index.text > 0, np.searchsorted(texts, index.text), len(texts))
        return cls(first_text[place], first, count)


def _sorted_unique(numbers: Hashes) -> Hashes:
    """Sort numbers in place, and return each once, ``[n] uint64``."""
    numbers.sort()
    new = np.ones(len(numbers), np.bool_)
    new[1:] = numbers[1:] != numbers[:-1]
    return numbers[new]


def _paired(first: NDArray[Any], second: NDArray[Any]) -> Hashes:
    """Return pairs as one number each, ordered as the pairs are, ``[n] uint64``."""
    return first.astype(np.uint64) << _HALF | second.astype(np.uint64)
