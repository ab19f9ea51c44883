"""Runs of 13 words as numbers: those of a part's documents, a batch of tokens at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from nextfill.core.background import in_threads
from nextfill.data.contamination.token_fragments import Hashes, Ints, mixed
from nextfill.data.contamination.word_hashes import FoldedVocabulary
from nextfill.data.packing.block_plan import count_up
from nextfill.data.parts import Part
from nextfill.data.store.document_fields import values

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

    def read(some: _Batch) -> tuple[int, Used]:
        tokens = store.shard_tokens[some.shard]
        # Documents that lie next to each other are read in one piece.
        before = np.concatenate([[0], some.length[:-1]])
        begins = np.flatnonzero(np.diff(some.offset, prepend=-1) != before)
        size = np.add.reduceat(some.length, begins)
        places = zip(some.offset[begins].tolist(), size.tolist(), strict=True)
        ids = np.concatenate([tokens[at : at + number] for at, number in places])
        store.release(some.shard)
        return len(ids), use(_runs(some.documents, some.whole, ids, some.length, vocabulary))

    in_shards = np.searchsorted(part.documents, store.shard_bounds).tolist()
    total = sum(
        int(length.sum())
        for first, last in pairwise(in_shards)
        for _, _, length, _ in [_stretches(part, first, last, after_contexts)]
    )
    plan = (
        one
        for shard, (first, last) in enumerate(pairwise(in_shards))
        for one in _batches(shard, _stretches(part, first, last, after_contexts))
    )
    for number, used in in_threads(read, plan):
        yield used
        done += number
        on_progress(done, total)


@dataclass(frozen=True)
class _Batch:
    """Stretches of documents of one shard that are read together.

    Args:
        documents: The document of each, ``[stretches]``.
        offset: Its first token in the shard, ``[stretches]``.
        length: Its tokens, ``[stretches]``.
        whole: Whether it is all of its document, ``[stretches]``.
    """

    shard: int
    documents: Ints
    offset: Ints
    length: Ints
    whole: NDArray[np.bool_]


_Stretches = tuple[Ints, Ints, Ints, NDArray[np.bool_]]


def _batches(shard: int, stretches: _Stretches) -> Iterator[_Batch]:
    """Yield the stretches of one shard that make up a batch, at least one."""
    documents, offset, length, whole = stretches
    ends = np.cumsum(length)
    start = 0
    while start < len(length):
        before = int(ends[start] - length[start])
        stop = max(int(np.searchsorted(ends, before + BATCH_TOKENS, "right")), start + 1)
        some = slice(start, stop)
        yield _Batch(shard, documents[some], offset[some], length[some], whole[some])
        start = stop


def _stretches(part: Part, first: int, last: int, after_contexts: bool) -> _Stretches:
    """Cut those of a part's documents that are longer than a batch, from a place to another.

    Returns each stretch's document, first token in the shard, number of tokens, and whether it is
    all of the document, ``[stretches]``.
    """
    documents, contexts = part.documents[first:last], part.store.contexts
    before, lengths = np.zeros(len(documents), np.int64), values(part.store, "tokens", documents)
    if after_contexts and contexts is not None:
        before = contexts["tokens"][documents].astype(np.int64)
        lengths = lengths - before
    begun = values(part.store, "offset", documents) + before
    step = BATCH_TOKENS - OVERLAP_TOKENS
    count = np.maximum(1, -(-(lengths - OVERLAP_TOKENS) // step))
    which, whole = np.repeat(documents, count), np.repeat(count == 1, count)
    start = count_up(count) * step
    length = np.minimum(np.repeat(lengths, count) - start, BATCH_TOKENS)
    return which, start + np.repeat(begun, count), length, whole


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
