"""Runs of 13 words as numbers: those of a part's documents, and those that two parts share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from nextfill.core.background import in_threads
from nextfill.data.contamination.word_hashes import FoldedVocabulary, Hashes, Ints, mixed
from nextfill.data.packing.block_plan import count_up
from nextfill.data.parts import Part

Used = TypeVar("Used")

NGRAM = 13
"""Words of a run, after Brown et al. 2020, Language Models are Few-Shot Learners, appendix C."""

BATCH_TOKENS = 1 << 18
OVERLAP_TOKENS = 1 << 12
"""Tokens that stretches of a long document share, so that no run falls between them."""

NO_DOCUMENT = np.iinfo(np.uint32).max

_SPARE_BITS = 2
_MOST_BITS = 26
"""A table of `_NumberSet` has 4 to 8 places a number, at most 64 million."""

_RATIO = 0x9FB21C651E98DF25
"""Any odd number whose powers have a long period: 5 modulo 8."""
_INVERSE = pow(_RATIO, -1, 2**64)

_HALF = np.uint64(32)
"""Bits of either half of a pair that is one number."""


@dataclass(frozen=True)
class Runs:
    """Runs of some documents.

    Args:
        documents: Numbers of the documents, ``[D] int64``; one that is longer than a batch comes
            in stretches, and so several times.
        text: All words of each as one number, ``[D] uint64``; 0 for no words and for stretches.
        owner: The document of each run, ascending, ``[R] int64``.
        number: Each run as a number, ``[R] uint64``.
    """

    documents: Ints
    text: Hashes
    owner: Ints
    number: Hashes


def runs_of(
    part: Part,
    vocabulary: FoldedVocabulary,
    use: Callable[[Runs], Used],
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    *,
    after_contexts: bool = False,
) -> Iterator[Used]:
    """Yield what is made of the runs of a part's documents, a batch of tokens at a time.

    Batches are made, and used, on several threads, and come in their order. With
    ``after_contexts`` the runs are those of what stands after the documents' contexts.
    """
    store, done = part.store, 0
    documents, first, length, whole = _stretches(part, after_contexts=after_contexts)
    total = int(length.sum())
    shards = store.shard_of(documents)
    offset = store.documents["offset"][documents].astype(np.int64) + first

    def read(some: slice) -> Used:
        shard = int(shards[some.start])
        tokens = store.shard_tokens[shard]
        places = zip(offset[some].tolist(), length[some].tolist(), strict=True)
        ids = np.concatenate([tokens[at : at + count] for at, count in places])
        store.release(shard)
        return use(_runs(documents[some], whole[some], ids, length[some], vocabulary))

    plan = list(_batches(length, shards))
    for some, used in zip(plan, in_threads(read, plan), strict=True):
        yield used
        done += int(length[some].sum())
        on_progress(done, total)


def _batches(length: Ints, shards: Ints) -> Iterator[slice]:
    """Yield the stretches of one shard that make up a batch, at least one."""
    ends = np.cumsum(length)
    start = 0
    while start < len(length):
        before = int(ends[start] - length[start])
        stop = max(int(np.searchsorted(ends, before + BATCH_TOKENS, "right")), start + 1)
        stop = min(stop, int(np.searchsorted(shards, shards[start], "right")))
        yield slice(start, stop)
        start = stop


def _stretches(part: Part, *, after_contexts: bool) -> tuple[Ints, Ints, Ints, NDArray[np.bool_]]:
    """Cut documents that are longer than a batch.

    Returns each stretch's document, first token, number of tokens, and whether it is all of the
    document, ``[stretches]``.
    """
    before, lengths = np.zeros(len(part.documents), np.int64), part.lengths
    if after_contexts and part.store.contexts is not None:
        before = part.store.contexts["tokens"][part.documents].astype(np.int64)
        lengths = lengths - before
    step = BATCH_TOKENS - OVERLAP_TOKENS
    count = np.maximum(1, -(-(lengths - OVERLAP_TOKENS) // step))
    documents, whole = np.repeat(part.documents, count), np.repeat(count == 1, count)
    first = count_up(count) * step
    length = np.minimum(np.repeat(lengths, count) - first, BATCH_TOKENS)
    return documents, first + np.repeat(before, count), length, whole


def _runs(
    documents: Ints,
    whole: NDArray[np.bool_],
    ids: Ints,
    lengths: Ints,
    vocabulary: FoldedVocabulary,
) -> Runs:
    words = vocabulary.words(ids, lengths)
    ends = np.cumsum(words.per_document)
    begun = ends - words.per_document
    has_words = words.per_document > 0
    # The words and their places make the text.
    text = np.zeros(len(documents), np.uint64)
    if len(words.number):
        of_places = _factors_of_places(int(words.per_document.max()).bit_length())
        factors = np.concatenate([of_places[:count] for count in words.per_document.tolist()])
        text[has_words] = np.add.reduceat(words.number * factors, begun[has_words])
    text = np.where(has_words & whole, mixed(text) | np.uint64(1), np.uint64(0))
    number_of_runs = np.maximum(words.per_document - NGRAM + 1, 0)
    starts = np.repeat(begun, number_of_runs) + count_up(number_of_runs)
    owner = np.repeat(documents, number_of_runs)
    return Runs(documents, text, owner, mixed(_run_numbers(words.number, starts)))


def _run_numbers(numbers: Hashes, starts: Ints) -> Hashes:
    """Return the runs that start at some words as numbers, modulo 2^64.

    A run of words w is the polynomial of w[j] r^j: the difference of two sums over all words
    before, divided by the power of its start, for which an odd number r has an inverse.
    """
    bits = len(numbers).bit_length()
    sums = np.zeros(len(numbers) + 1, np.uint64)
    np.cumsum(numbers * _powers_of(_RATIO, bits)[: len(numbers)], out=sums[1:])
    found: Hashes = sums[starts + NGRAM] - sums[starts]
    found *= _powers_of(_INVERSE, bits)[starts]
    return found


@lru_cache(maxsize=4)
def _powers_of(base: int, bits: int) -> Hashes:
    """Return the powers of a number from 0 to ``2^bits - 1``, modulo 2^64."""
    powers = np.full(1 << bits, base, np.uint64)
    powers[0] = 1
    return np.cumprod(powers)


@lru_cache(maxsize=2)
def _factors_of_places(bits: int) -> Hashes:
    """Return an odd number for each of the places from 0 to ``2^bits - 1`` in a document."""
    return mixed(np.arange(1 << bits, dtype=np.uint64)) | np.uint64(1)


@dataclass(frozen=True)
class RunIndex:
    """The runs of a part, each once, and those of each document.

    Args:
        text: All words of each document as one number, ``[D] uint64``; 0 for none.
        runs: The runs as numbers, ascending, each once, ``[K] uint64``.
        run: The runs of each document as places in ``runs``, document by document,
            ``[R] uint32``; in a document each once, ascending.
        bounds: Those of document ``d`` are ``run[bounds[d]:bounds[d + 1]]``, ``[D + 1] int64``.
    """

    text: Hashes
    runs: Hashes
    run: NDArray[np.uint32]
    bounds: Ints

    @classmethod
    def of(cls, part: Part, vocabulary: FoldedVocabulary) -> RunIndex:
        """Index the runs of a part in memory.

        Of documents with contexts they are those of what is learnt: many records may ask the same,
        and that is no leak of the answers.
        """
        text = np.zeros(len(part.documents), np.uint64)
        owners, numbers = [np.zeros(0, np.uint32)], [np.zeros(0, np.uint64)]
        has_contexts = part.store.contexts is not None

        def with_owners(batch: Runs) -> tuple[Runs, NDArray[np.uint32]]:
            return batch, np.searchsorted(part.documents, batch.owner).astype(np.uint32)

        for batch, owner in runs_of(part, vocabulary, with_owners):
            text[np.searchsorted(part.documents, batch.documents)] = batch.text
            if not has_contexts:
                owners.append(owner)
                numbers.append(batch.number)
        if has_contexts:
            for batch, owner in runs_of(part, vocabulary, with_owners, after_contexts=True):
                owners.append(owner)
                numbers.append(batch.number)
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
        return cls(text, runs, pairs.astype(np.uint32), np.searchsorted(pairs, ends))


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
        indexed_runs, indexed_texts = _NumberSet(index.runs), _NumberSet(texts)
        first = np.full(len(index.runs), NO_DOCUMENT, np.uint32)
        count = np.zeros(len(index.runs), np.uint32)
        # The last place is for documents without words.
        first_text = np.full(len(texts) + 1, NO_DOCUMENT, np.int64)

        def found_in(batch: Runs) -> tuple[Hashes, Ints, Ints]:
            hit, which = indexed_runs.find(batch.number)
            pairs = _sorted_unique(_paired(which, batch.owner[hit]))
            hit, which = indexed_texts.find(batch.text)
            return pairs, which, batch.documents[hit]

        for pairs, which_text, documents in runs_of(part, vocabulary, found_in, on_progress):
            which = (pairs >> _HALF).astype(np.int64)
            np.minimum.at(first, which, pairs.astype(np.uint32))
            np.add.at(count, which, 1)
            np.minimum.at(first_text, which_text, documents)
        place = np.where(index.text > 0, np.searchsorted(texts, index.text), len(texts))
        return cls(first_text[place], first, count)


class _NumberSet:
    """A set of 64-bit numbers, fast to ask for many that are mostly not in it.

    Args:
        numbers: Ascending, each once, ``[K]``.
    """

    def __init__(self, numbers: Hashes) -> None:
        self._numbers = numbers
        # A table of their first bits rejects nearly all others at once, one of their last bits
        # nearly all that are left: finding a number's place takes far longer.
        bits = min(len(numbers).bit_length() + _SPARE_BITS, _MOST_BITS)
        self._shift, self._mask = np.uint64(64 - bits), np.uint64((1 << bits) - 1)
        self._first_bits, self._last_bits = (np.zeros(1 << bits, np.bool_) for _ in range(2))
        self._first_bits[numbers >> self._shift] = True
        self._last_bits[numbers & self._mask] = True

    def find(self, numbers: Hashes) -> tuple[Ints, Ints]:
        """Return the places of the members among some numbers, and of each its place in the set."""
        likely = np.flatnonzero(self._first_bits[numbers >> self._shift])
        likely = likely[self._last_bits[numbers[likely] & self._mask]]
        place = np.searchsorted(self._numbers, numbers[likely])
        hit = np.flatnonzero(place < len(self._numbers))
        hit = hit[self._numbers[place[hit]] == numbers[likely[hit]]]
        return likely[hit], place[hit]


def _sorted_unique(numbers: Hashes) -> Hashes:
    """Sort numbers in place, and return each once, ``[n] uint64``."""
    numbers.sort()
    new = np.ones(len(numbers), np.bool_)
    new[1:] = numbers[1:] != numbers[:-1]
    return numbers[new]


def _paired(first: NDArray[Any], second: NDArray[Any]) -> Hashes:
    """Return pairs as one number each, ordered as the pairs are, ``[n] uint64``."""
    return first.astype(np.uint64) << _HALF | second.astype(np.uint64)
