"""The runs of 13 words of a part's documents, indexed, and those that another part has, too."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nextfill.data.contamination.number_set import NumberSet, ascending
from nextfill.data.contamination.token_fragments import Hashes, Ints
from nextfill.data.contamination.word_hashes import FoldedVocabulary
from nextfill.data.contamination.word_runs import NGRAM, Runs, runs_of
from nextfill.data.parts import Part

MOST_RUNS = 1 << 22
"""Runs of a part that are kept, of some 25 MB of text; of more a sample, to bound the memory."""

FEWEST_RUNS = 16
"""Runs of each document that are in a sample, on average at least; of one of fewer, all."""

_SAMPLED_BY, _SAMPLED_OF = np.uint64(20), 1 << 16
"""The lowest of the bits by which runs are sampled, and the numbers that these may be."""

NO_DOCUMENT = np.iinfo(np.uint32).max

_ESTIMATED_BY = 1 << 20
"""Tokens of documents by whose runs those of all are estimated."""

_EXACT = 0.01

_HALF = np.uint64(32)
"""Bits of either half of a pair that is one number."""


@dataclass(frozen=True)
class RunIndex:
    """The runs of a part, each once, and those of each document.

    Args:
        text: All words of each document as one number, ``[D] uint64``; 0 for none.
        runs: The runs as numbers, each once, ``[K]``.
        run: The runs of each document as places in ``runs``, document by document,
            ``[R] uint32``; in a document each once, ascending.
        bounds: Those of document ``d`` are ``run[bounds[d]:bounds[d + 1]]``, ``[D + 1] int64``.
        one_in: How many runs one is kept of, rounded up; 1 where all are.
    """

    text: Hashes
    runs: NumberSet
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
        owners: list[NDArray[np.uint32]] = []
        numbers: list[Hashes] = []
        has_contexts = part.store.contexts is not None
        one_in = _one_run_in(part, vocabulary)

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
        runs, pairs = _indexed(_joined(owners, np.uint32), _joined(numbers, np.uint64))
        ends = np.arange(len(part.documents) + 1, dtype=np.uint64) << _HALF
        bounds = np.searchsorted(pairs, ends)
        return cls(text, runs, pairs.astype(np.uint32), bounds, math.ceil(one_in))


def _joined(each: list[NDArray[Any]], dtype: type[np.unsignedinteger]) -> NDArray[Any]:
    """Join arrays, and let go of them."""
    joined = np.concatenate([np.zeros(0, dtype), *each])
    each.clear()
    return joined


def _indexed(owner: NDArray[np.uint32], number: Hashes) -> tuple[NumberSet, Hashes]:
    """Return the set of some runs, and each document with the place of its run in it.

    A document and its run make one number, ascending, each once.
    """
    order = ascending(number)
    number, owner = number[order], owner[order]
    del order  # and all else that is done with: there may be millions of runs
    is_new = _is_new(number)
    number = number[is_new]
    runs = NumberSet(number)
    place = np.cumsum(is_new, dtype=np.uint32)
    place -= np.uint32(1)
    pairs = _paired(owner, place)
    del number, is_new, place
    pairs = pairs[ascending(owner)]  # of each document the places stay in their order
    return runs, pairs[_is_new(pairs)]


def _one_run_in(part: Part, vocabulary: FoldedVocabulary) -> float:
    """Return how many runs of a part one is kept of, by those of some of its documents."""
    if part.num_tokens <= MOST_RUNS:
        return 1.0
    # From all places of the part, and as many as it takes, however short the first ones are.
    step = -(-part.num_tokens // _ESTIMATED_BY)
    order = np.argsort(np.arange(len(part.documents)) % step, kind="stable")
    enough = int(np.searchsorted(np.cumsum(part.lengths[order]), _ESTIMATED_BY)) + 1
    some = Part(part.store, np.sort(part.documents[order[:enough]]))

    def number(batch: Runs) -> Ints:
        found: Ints = np.maximum(np.diff(batch.ends, prepend=0) - (NGRAM - 1), 0)
        return found

    each = np.concatenate(list(runs_of(some, vocabulary, number)))
    scale = part.num_tokens / some.num_tokens

    def kept(one_in: float) -> float:
        return scale * float((each / np.clip(each / FEWEST_RUNS, 1.0, one_in)).sum())

    # Those that short documents have more of, long ones have less.
    low, high = 1.0, max(float(each.max()) / FEWEST_RUNS, 1.0)
    if kept(low) <= MOST_RUNS:
        return low
    while high - low > _EXACT:
        middle = (low + high) / 2
        low, high = (middle, high) if kept(middle) > MOST_RUNS else (low, middle)
    return high


def _sample(owner: Ints, number: Hashes, one_in: float) -> NDArray[np.bool_]:
    """Mark the runs that are kept, by their numbers alone, of a short document more of them.

    Args:
        owner: The place of each run's document, ``[R]``.
        number: The runs, ``[R]``.
        one_in: How many runs one is kept of.
    """
    rate = np.clip(np.bincount(owner) / FEWEST_RUNS, 1.0, one_in)
    limit = np.ceil(_SAMPLED_OF / rate).astype(np.uint64)
    kept: NDArray[np.bool_] = (number >> _SAMPLED_BY) & np.uint64(_SAMPLED_OF - 1) < limit[owner]
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
        texts = _sorted_unique(index.text[index.text > 0])
        indexed_runs, indexed_texts = index.runs, NumberSet(texts)
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
            # Pairs are sorted: of each run the first document comes first.
            run = (pairs >> _HALF).astype(np.int64)
            begins = np.flatnonzero(np.diff(run, prepend=-1))
            run = run[begins]
            first[run] = np.minimum(first[run], pairs[begins].astype(np.uint32))
            count[run] += np.diff(begins, append=len(pairs)).astype(np.uint32)
            np.minimum.at(first_text, which_text, documents)
        place = np.where(index.text > 0, np.searchsorted(texts, index.text), len(texts))
        return cls(first_text[place], first, count)


def _sorted_unique(numbers: Hashes) -> Hashes:
    """Sort numbers in place, and return each once, ``[n] uint64``."""
    numbers.sort()
    return numbers[_is_new(numbers)]


def _is_new(numbers: Hashes) -> NDArray[np.bool_]:
    """Mark the first of each of some ascending numbers."""
    new = np.ones(len(numbers), np.bool_)
    new[1:] = numbers[1:] != numbers[:-1]
    return new


def _paired(first: NDArray[Any], second: NDArray[Any]) -> Hashes:
    """Return pairs as one number each, ordered as the pairs are, ``[n] uint64``."""
    return first.astype(np.uint64) << _HALF | second.astype(np.uint64)
