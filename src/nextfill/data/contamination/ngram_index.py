"""Runs of 13 words as numbers: those of a part's documents, and those that two parts share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nextfill.data.contamination.word_hashes import FoldedVocabulary, Hashes, Ints, mixed
from nextfill.data.packing.block_plan import count_up
from nextfill.data.parts import Part

NGRAM = 13
"""Words of a run, after Brown et al. 2020, Language Models are Few-Shot Learners, appendix C."""

BATCH_TOKENS = 1 << 20
OVERLAP_TOKENS = 1 << 12
"""Tokens that stretches of a long document share, so that no run falls between them."""

NO_DOCUMENT = np.iinfo(np.uint32).max

_SPARE_BITS = 3
_MOST_BITS = 26
"""The table of `_NumberSet` has 8 to 16 places a number, at most 64 million."""

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
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    *,
    after_contexts: bool = False,
) -> Iterator[Runs]:
    """Yield the runs of a part's documents, a batch of tokens at a time.

    With ``after_contexts`` they are those of what stands after the documents' contexts.
    """
    store, done = part.store, 0
    documents, first, length, whole = _stretches(part, after_contexts=after_contexts)
    total = int(length.sum())
    shards = store.shard_of(documents)
    offset = store.documents["offset"][documents].astype(np.int64) + first
    ends = np.cumsum(length)
    start = 0
    while start < len(documents):
        # Stretches of one shard that make up a batch, at least one.
        before = int(ends[start] - length[start])
        stop = max(int(np.searchsorted(ends, before + BATCH_TOKENS, "right")), start + 1)
        stop = min(stop, int(np.searchsorted(shards, shards[start], "right")))
        some = slice(start, stop)
        tokens = store.shard_tokens[int(shards[start])]
        places = zip(offset[some].tolist(), length[some].tolist(), strict=True)
        ids = np.concatenate([tokens[at : at + count] for at, count in places])
        store.release(int(shards[start]))
        yield _runs(documents[some], whole[some], ids, length[some], vocabulary)
        done += len(ids)
        on_progress(done, total)
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
    count = np.bincount(words.document, minlength=len(documents))
    place = count_up(count)
    # The words and their places make the text.
    summed = np.zeros(len(documents), np.uint64)
    factor_of_place = mixed(place.astype(np.uint64)) | np.uint64(1)
    np.add.at(summed, words.document, words.number * factor_of_place)
    text = np.where((count > 0) & whole, mixed(summed) | np.uint64(1), np.uint64(0))
    begins = np.flatnonzero(np.repeat(count, count) - place >= NGRAM)
    number = np.zeros(max(0, len(words.number) - NGRAM + 1), np.uint64)
    for at, factor in enumerate(_factors()):
        number += words.number[at : at + len(number)] * factor
    return Runs(documents, text, documents[words.document[begins]], mixed(number[begins]))


def _factors() -> Hashes:
    """Return an odd number of 64 bits for each place in a run, always the same ones."""
    random = np.random.Generator(np.random.Philox(key=13))
    return random.integers(0, 2**64, NGRAM, np.uint64) | np.uint64(1)


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
        for batch in runs_of(part, vocabulary):
            text[np.searchsorted(part.documents, batch.documents)] = batch.text
            if not has_contexts:
                owners.append(np.searchsorted(part.documents, batch.owner).astype(np.uint32))
                numbers.append(batch.number)
        for batch in runs_of(part, vocabulary, after_contexts=True) if has_contexts else ():
            owners.append(np.searchsorted(part.documents, batch.owner).astype(np.uint32))
            numbers.append(batch.number)
        runs = _sorted_unique(np.concatenate(numbers))
        # A document and its run make one number, so that the pairs are sorted in place; their
        # sources are freed on the way, for there are as many as words.
        pairs = np.empty(sum(map(len, numbers)), np.uint64)
        stop = len(pairs)
        while numbers:
            some = _paired(owners.pop(), np.searchsorted(runs, numbers.pop()))
            pairs[stop - len(some) : stop] = some
            stop -= len(some)
        pairs = _sorted_unique(pairs)
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
        for batch in runs_of(part, vocabulary, on_progress):
            hit, which = indexed_runs.find(batch.number)
            pairs = _sorted_unique(_paired(which, batch.owner[hit]))
            which = (pairs >> _HALF).astype(np.int64)
            np.minimum.at(first, which, pairs.astype(np.uint32))
            np.add.at(count, which, 1)
            hit, which = indexed_texts.find(batch.text)
            np.minimum.at(first_text, which, batch.documents[hit])
        place = np.where(index.text > 0, np.searchsorted(texts, index.text), len(texts))
        return cls(first_text[place], first, count)


class _NumberSet:
    """A set of 64-bit numbers, fast to ask for many that are mostly not in it.

    Args:
        numbers: Ascending, each once, ``[K]``.
    """

    def __init__(self, numbers: Hashes) -> None:
        self._numbers = numbers
        # A table of their first bits rejects nearly all others at once.
        bits = min(len(numbers).bit_length() + _SPARE_BITS, _MOST_BITS)
        self._shift = np.uint64(64 - bits)
        self._likely = np.zeros(1 << bits, np.bool_)
        self._likely[numbers >> self._shift] = True

    def find(self, numbers: Hashes) -> tuple[Ints, Ints]:
        """Return the places of the members among some numbers, and of each its place in the set."""
        likely = np.flatnonzero(self._likely[numbers >> self._shift])
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
