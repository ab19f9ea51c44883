"""Runs of 13 words of a part's documents, as numbers, a batch of tokens at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from nextfill.data.contamination.word_hashes import FoldedVocabulary, Hashes, Ints, mixed
from nextfill.data.packing.block_plan import count_up
from nextfill.data.train_test_split import Part

NGRAM = 13
"""Words of a run, after Brown et al. 2020, Language Models are Few-Shot Learners, appendix C."""

BATCH_TOKENS = 1 << 20
OVERLAP_TOKENS = 1 << 12
"""Tokens that stretches of a long document share, so that no run falls between them."""


@dataclass(frozen=True)
class Runs:
    """Runs of some documents.

    Args:
        documents: Numbers of the documents, ``[D] int64``; one that is longer than a batch comes
            in stretches, and so several times.
        text: All words of each as one number, ``[D] uint64``; 0 where it has none, or is but a
            stretch.
        owner: Of each run the number of its document, ascending, ``[R] int64``.
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
) -> Iterator[Runs]:
    """Yield the runs of a part's documents."""
    store, done = part.store, 0
    documents, first, length, whole = _stretches(part)
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


def _stretches(part: Part) -> tuple[Ints, Ints, Ints, Ints]:
    """Cut documents that are longer than a batch."""
    lengths = part.store.documents["tokens"][part.documents].astype(np.int64)
    step = BATCH_TOKENS - OVERLAP_TOKENS
    count = np.maximum(1, -(-(lengths - OVERLAP_TOKENS) // step))
    documents, whole = np.repeat(part.documents, count), np.repeat(count == 1, count)
    first = count_up(count) * step
    length = np.minimum(np.repeat(lengths, count) - first, BATCH_TOKENS)
    return documents, first, length, whole.astype(np.int64)


def _runs(
    documents: Ints, whole: Ints, ids: Ints, lengths: Ints, vocabulary: FoldedVocabulary
) -> Runs:
    words = vocabulary.words(ids, lengths)
    count = np.bincount(words.document, minlength=len(documents))
    place = count_up(count)
    # Which word stands where makes the text.
    summed = np.zeros(len(documents), np.uint64)
    factor_of_place = mixed(place.astype(np.uint64)) | np.uint64(1)
    np.add.at(summed, words.document, words.number * factor_of_place)
    text = np.where((count > 0) & (whole > 0), mixed(summed) | np.uint64(1), np.uint64(0))
    begins = np.flatnonzero(np.repeat(count, count) - place >= NGRAM)
    number = np.zeros(max(0, len(words.number) - NGRAM + 1), np.uint64)
    for at, factor in enumerate(_factors()):
        number += words.number[at : at + len(number)] * factor
    return Runs(documents, text, documents[words.document[begins]], mixed(number[begins]))


def _factors() -> Hashes:
    """Return an odd number of 64 bits for each place in a run, always the same ones."""
    random = np.random.Generator(np.random.Philox(key=13))
    return random.integers(0, 2**64, NGRAM, np.uint64) | np.uint64(1)
