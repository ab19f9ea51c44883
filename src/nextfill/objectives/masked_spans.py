"""Choose spans of whole words to hide, for all rows of a batch at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nextfill.data.packing.block_plan import Ints, count_up

Floats = NDArray[np.float64]

NUM_DRAWS = 5
CHOICE, HOW, LENGTH, PLACE = 0, 1, 3, 4
"""What each number of a position is for; how many spans, what becomes of one, its length, where."""

LONGEST_SPAN = 10  # words
STOP = 0.2  # probability that a span ends after a word
HIGHEST_RATE = 0.5
"""Above it too many spans do not fit. The share of words that is hidden, divided by the rate, is at
0.5 at least 0.99 in documents of 30 words and more, 0.89 in those of 10; at 0.7 0.93 and 0.79."""


def _length_table() -> tuple[Floats, Floats]:
    """Return the distribution of lengths, cumulative, and its mean, for each longest length."""
    weights = STOP * (1 - STOP) ** np.arange(LONGEST_SPAN)
    cumulative = np.ones((LONGEST_SPAN + 1, LONGEST_SPAN))
    means = np.ones(LONGEST_SPAN + 1)
    for longest in range(1, LONGEST_SPAN + 1):
        shares = weights[:longest] / weights[:longest].sum()
        cumulative[longest, : longest - 1] = np.cumsum(shares[:-1])
        means[longest] = (shares * np.arange(1, longest + 1)).sum()
    return cumulative, means


CUMULATIVE, MEAN_LENGTH = _length_table()


@dataclass(frozen=True)
class _Stretches:
    """Words that follow one another in a document of a row, with no special token between.

    Args:
        first: The first word of each stretch, ``[stretches]``.
        words: Words of each stretch, ``[stretches]``.
        draws: Numbers of each word, ``[words, NUM_DRAWS]``.
    """

    first: Ints
    words: Ints
    draws: Floats


def choose_spans(
    begins: NDArray[np.bool_],
    candidate: NDArray[np.bool_],
    document_ids: Ints,
    *,
    rate: float,
    draws: Floats,
) -> tuple[NDArray[np.bool_], Floats]:
    """Choose spans of 1 to 10 words, with at least one word between two of them.

    In each document of a row the number of spans is ``words * rate / mean length``, rounded up or
    down at random so that this is its mean. Lengths are geometric (p = 0.2) up to 10 words, 3.8
    on average, and are drawn before the places, all of which are as likely; words near either end
    of a document are hidden less often than others, because fewer spans reach them. A document
    of fewer than 10 words has spans of at most its words, and more of them. Spans that do not fit
    are left out, from the last one on, which happens to short documents, at no rate below 0.18.

    Args:
        begins: A word begins here, ``[B, T] bool``.
        candidate: May be hidden, ``[B, T] bool``.
        document_ids: Documents of each row, ``[B, T] int64``.
        rate: Share of the words that is to be hidden, at most ``HIGHEST_RATE``.
        draws: From 0 to below 1, ``[B, T, NUM_DRAWS]``.

    Returns:
        What is hidden, ``[B, T] bool``, and for these a number from 0 to below 1, the same for
        all tokens of a span, ``[B, T] float64``.

    Source:
        Joshi et al. 2020, SpanBERT: Improving Pre-training by Representing and Predicting Spans.
        There spans are drawn until 15% are hidden, which favours short ones at the end, and they
        may touch.
    """
    shape = begins.shape
    word = np.cumsum(begins) - 1
    starts = np.flatnonzero(begins)
    hidden = np.zeros(len(starts), np.bool_)
    how = np.zeros(len(starts))
    if len(starts):
        words = np.flatnonzero(np.logical_or.reduceat(candidate.reshape(-1), starts))
        at = starts[words]
        row_and_document = np.stack([at // shape[1], document_ids.reshape(-1)[at], words], axis=1)
        apart = np.diff(row_and_document, axis=0, prepend=-2) != [0, 0, 1]
        first = np.flatnonzero(apart.any(axis=1))
        numbers = draws.reshape(-1, NUM_DRAWS)[at]
        stretches = _Stretches(first, np.diff(first, append=len(words)), numbers)
        places, lengths = _spans(stretches, rate)
        inside = words[np.repeat(places, lengths) + count_up(lengths)]
        hidden[inside] = True
        how[inside] = np.repeat(numbers[places, HOW], lengths)
    return hidden[word].reshape(shape) & candidate, how[word].reshape(shape)


def _spans(stretches: _Stretches, rate: float) -> tuple[Ints, Ints]:
    """Return the first word of each span, and its length."""
    first, words, draws = stretches.first, stretches.words, stretches.draws
    longest = np.minimum(words, LONGEST_SPAN)
    expected = words * rate / MEAN_LENGTH[longest]
    counts = np.floor(expected + draws[first, CHOICE]).astype(np.int64)

    owner = np.repeat(np.arange(len(first)), counts)
    drawn = draws[first[owner] + count_up(counts), LENGTH]
    lengths = 1 + (drawn[:, None] >= CUMULATIVE[longest[owner]]).sum(axis=1)
    fits = _before(lengths + 1, counts) + lengths <= words[owner]
    owner, lengths = owner[fits], lengths[fits]
    counts = np.bincount(owner, minlength=len(first))

    # What is to be placed, each span with the gap behind it as one, among the words that are free.
    total = np.zeros(len(first), np.int64)
    np.add.at(total, owner, lengths)
    items = np.where(counts > 0, words - total + 1, 0)
    item_owner = np.repeat(np.arange(len(first)), items)
    item = count_up(items)
    order = np.lexsort((draws[first[item_owner] + item, PLACE], item_owner))
    taken = item[np.sort(order[item < counts[item_owner]])]
    return first[owner] + taken + _before(lengths, counts), lengths


def _before(values: Ints, counts: Ints) -> Ints:
    """Return the sum of the values before each, within groups of so many."""
    before: Ints = np.cumsum(values) - values
    group_first = np.cumsum(counts) - counts
    before -= np.repeat(before[group_first[counts > 0]], counts[counts > 0])
    return before
