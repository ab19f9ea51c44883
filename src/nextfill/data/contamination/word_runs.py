"""Runs of 13 words as numbers: those of a part's documents, a batch of tokens at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from nextfill.core.background import in_threads
from nextfill.data.contamination.token_fragments import Hashes, Ints, mixed
from nextfill.data.contamination.word_hashes import FoldedVocabulary
from nextfill.data.packing.block_plan import count_up
from nextfill.data.parts import Part

Used = TypeVar("Used")

NGRAM = 13
"""Words of a run, after Brown et al. 2020, Language Models are Few-Shot Learners, appendix C."""

BATCH_TOKENS = 1 << 18
OVERLAP_TOKENS = 1 << 12
"""Tokens that stretches of a long document share, so that no run falls between them."""

_RATIO = 0x9FB21C651E98DF25
"""Any odd number whose powers have a long period: 5 modulo 8."""
_INVERSE = pow(_RATIO, -1, 2**64)


@dataclass(frozen=True)
class Runs:
    """Runs of some documents.

    Args:
        documents: Numbers of the documents, ``[D] int64``; one that is longer than a batch comes
            in stretches, and so several times.
        text: All words of each as one number, ``[D] uint64``; 0 for no words and for stretches.
        ends: The place after each document's last word among all words, ``[D] int64``.
        number: The run from each word on as a number, also across the ends of documents, where it
            is none, ``[words - 12] uint64``.
    """

    documents: Ints
    text: Hashes
    ends: Ints
    number: Hashes

    def owners(self, places: Ints) -> tuple[NDArray[np.bool_], Ints]:
        """Mark the places of runs within one document, and return the documents of these.

        Args:
            places: Places in ``number``, ``[n]``.
        """
        document = np.searchsorted(self.ends, places, side="right")
        is_run = places + NGRAM <= self.ends[document]
        return is_run, self.documents[document[is_run]]

    def each(self) -> tuple[Ints, Hashes]:
        """Return of each run within a document the place of this, and its number, ``[runs]``."""
        words = np.diff(self.ends, prepend=0)
        count = np.maximum(words - NGRAM + 1, 0)
        places = np.repeat(self.ends - words, count) + count_up(count)
        return np.repeat(np.arange(len(count)), count), self.number[places]


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
        first, count = offset[some], length[some]
        # Documents that lie next to each other are read in one piece.
        begins = np.flatnonzero(np.diff(first, prepend=-1) != np.concatenate([[0], count[:-1]]))
        size = np.add.reduceat(count, begins)
        places = zip(first[begins].tolist(), size.tolist(), strict=True)
        ids = np.concatenate([tokens[at : at + number] for at, number in places])
        store.release(shard)
        return use(_runs(documents[some], whole[some], ids, count, vocabulary))

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
    """Number the runs of documents, and their texts, modulo 2^64.

    A run of words w is the polynomial of w[j] r^j: the difference of two sums over all words
    before, divided by the power of its start, for which an odd number r has an inverse. So is the
    text of a document.
    """
    words = vocabulary.words(ids, lengths)
    ends = np.cumsum(words.per_document)
    begun = ends - words.per_document
    bits = len(words.number).bit_length()
    sums = np.zeros(len(words.number) + 1, np.uint64)
    np.cumsum(words.number * _powers_of(_RATIO, bits)[: len(words.number)], out=sums[1:])
    inverse = _powers_of(_INVERSE, bits)
    text = (sums[ends] - sums[begun]) * inverse[begun]
    is_text = (words.per_document > 0) & whole
    text = np.where(is_text, mixed(text) | np.uint64(1), np.uint64(0))
    number = sums[NGRAM:] - sums[:-NGRAM]
    number *= inverse[: len(number)]
    return Runs(documents, text, ends, number)


@lru_cache(maxsize=4)
def _powers_of(base: int, bits: int) -> Hashes:
    """Return the powers of a number from 0 to ``2^bits - 1``, modulo 2^64."""
    powers = np.full(1 << bits, base, np.uint64)
    powers[0] = 1
    return np.cumprod(powers)
