"""The masked objective: tokens, words or spans of words are hidden, each predicted in its place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nextfill.config import MaskingUnit
from nextfill.core.errors import ConfigError
from nextfill.core.progress import Progress
from nextfill.data.packing.block_plan import Ints, count_up
from nextfill.data.packing.block_reader import NO_TARGET, Blocks
from nextfill.data.packing.order import philox
from nextfill.data.store.token_store import TokenStore
from nextfill.data.store.word_starts import open_word_starts
from nextfill.objectives.batch import Batch

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]

NUM_DRAWS = 5
CHOICE, HOW, WHICH, LENGTH, PLACE = range(NUM_DRAWS)
"""Random numbers of a position: whether it is chosen (or how many spans), its replacement, the
random token of it, a span's length, a span's place."""

LONGEST_SPAN = 10  # words
STOP = 0.2  # probability that a span ends after a word
HIGHEST_RATE = 0.5
"""Above it too many spans do not fit. The share of words that is hidden, divided by the rate, is at
0.5 at least 0.99 in documents of 30 words and more, 0.89 in those of 10; at 0.7 0.93 and 0.79."""


@dataclass(frozen=True)
class Masking:
    """The share and unit of tokens to hide, and their replacements.

    Args:
        rate: Share of the tokens that are chosen.
        unit: Chosen as a whole: a ``token``, a ``word``, or a ``span`` of words.
        mask_id: Id of the mask token.
        special_ids: Tokens that are never chosen, ``[n] int64``.
        random_ids: A random token is one of these, each as likely, ``[n] int64``.
        mask_share: Share of the chosen tokens that the mask token replaces.
        random_share: Share of them that a random token replaces; the rest stay as they are.
    """

    rate: float
    unit: MaskingUnit
    mask_id: int
    special_ids: NDArray[np.int64]
    random_ids: NDArray[np.int64]
    mask_share: float = 0.8
    random_share: float = 0.1

    def __post_init__(self) -> None:
        if problems := self._problems():
            raise ConfigError(problems)

    def _problems(self) -> list[str]:
        problems = []
        if not 0 < self.rate < 1:
            problems.append(f"--mask-rate: found {self.rate}; expected more than 0 and less than 1")
        elif self.unit == "span" and self.rate > HIGHEST_RATE:
            problems.append(
                f"--mask-rate: found {self.rate}; with --masking span expected at most "
                f"{HIGHEST_RATE}, because a word stays between two spans: type --mask-rate "
                f"{HIGHEST_RATE} or --masking word"
            )
        shares = {"--mask-share": self.mask_share, "--random-share": self.random_share}
        wrong = {flag: share for flag, share in shares.items() if not 0 <= share <= 1}
        problems += [f"{flag}: found {share}; expected 0 to 1" for flag, share in wrong.items()]
        if not wrong and sum(shares.values()) > 1 + 1e-9:
            problems.append(
                f"--mask-share {self.mask_share} and --random-share {self.random_share} add up to "
                f"{sum(shares.values()):g}; expected at most 1"
            )
        if self.random_share > 0 and not len(self.random_ids):
            problems.append(
                f"--random-share: found {self.random_share}, but the vocabulary has no tokens "
                "beside special ones: type --random-share 0"
            )
        return problems


def masked(blocks: Blocks, masking: Masking, keys: Sequence[tuple[int, ...]]) -> Batch:
    """Make the batch whose labels are the tokens that were chosen, at their own positions.

    Prefix, suffix and padding are never chosen, nor special tokens that the text itself spells.

    - ``token``: each token with probability ``rate``, whatever becomes of the others.
    - ``word``: each word with probability ``rate``, all of its tokens together. What becomes of
      them (mask, random, kept) is drawn for each by itself, as BERT does it.
    - ``span``: see `choose_spans`. What becomes of a span is drawn once for all its tokens,
      as SpanBERT does it; a random token is drawn for each place.

    A row's masks depend on its key and its tokens alone: not on the other rows, nor on its padding.

    Args:
        blocks: Rows of framed tokens, each ``[B, T]``, with ``word_starts`` for words or spans.
        masking: The share and unit of tokens to hide, and their replacements.
        keys: Of each row, the seed of its randomness, ``[B]``.

    Returns:
        The batch; its label is -100 wherever no token was chosen.

    Source:
        Devlin et al. 2019, BERT: Pre-training of Deep Bidirectional Transformers; whole words as
        its authors' code has them since May 2019. Joshi et al. 2020, SpanBERT.

    Example:
        >>> ids, row = np.array([[5, 6, 7, 8]]), np.zeros((1, 4), np.int64)
        >>> blocks = Blocks(ids, ids, row, row, special=row > 0, numbers=row[0, :1])
        >>> masking = Masking(0.5, "token", mask_id=4, special_ids=row[0, :0], random_ids=ids[0])
        >>> batch = masked(blocks, masking, keys=[(0, 0, 4)])
        >>> batch.input_ids.tolist(), batch.labels.tolist()
        ([[4, 6, 7, 4]], [[5, -100, 7, 8]])
    """
    if len(keys) != len(blocks.tokens):
        raise ValueError(f"{len(keys)} keys for {len(blocks.tokens)} rows")
    draws = _draws(keys, blocks.tokens.shape[1])
    candidate = ~blocks.special & (blocks.document_ids >= 0)
    candidate &= ~np.isin(blocks.tokens, masking.special_ids)
    how = draws[..., HOW]
    if masking.unit == "token":
        chosen = candidate & (draws[..., CHOICE] < masking.rate)
    else:
        begins = _word_begins(blocks)
        if masking.unit == "word":
            word = np.cumsum(begins).reshape(begins.shape) - 1
            chosen = candidate & (draws[begins][:, CHOICE] < masking.rate)[word]
        else:
            chosen, how = choose_spans(
                begins, candidate, blocks.document_ids, rate=masking.rate, draws=draws
            )
    return _hide(blocks, masking, chosen, how, draws[..., WHICH])


def word_starts_for(
    masking: Masking,
    store: TokenStore,
    tokenizer: Any,
    on_progress: Progress = lambda label, done, total: None,
) -> tuple[Bools, ...] | None:
    """Return the word starts of a store, of each shard, where the masking goes by words."""
    if masking.unit == "token":
        return None
    return open_word_starts(store, tokenizer, on_progress)


def _draws(keys: Sequence[tuple[int, ...]], width: int) -> Floats:
    """Return numbers from 0 to below 1 for each position, ``[B, T, NUM_DRAWS]``.

    A row's numbers come position by position, so that they do not depend on the width.
    """
    count = width * NUM_DRAWS
    raw = [philox("mask", *key).random_raw(count) for key in keys]
    numbers = np.array(raw, np.uint64).reshape(len(keys), width, NUM_DRAWS)
    return (numbers >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _word_begins(blocks: Blocks) -> Bools:
    """Return where a word begins in its row, ``[B, T] bool``: at its first token in that row."""
    if blocks.word_starts is None:
        raise ValueError("words can only be hidden where word_starts are read with the blocks")
    begins = blocks.word_starts.copy()
    begins[:, :1] = True
    begins[:, 1:] |= blocks.document_ids[:, 1:] != blocks.document_ids[:, :-1]
    return begins


def _hide(
    blocks: Blocks,
    masking: Masking,
    chosen: Bools,
    how: Floats,
    which: Floats,
) -> Batch:
    """Replace the chosen tokens; ``how`` and ``which`` are from 0 to below 1, ``[B, T]``."""
    input_ids = blocks.tokens.copy()
    input_ids[chosen & (how < masking.mask_share)] = masking.mask_id
    swapped = chosen & (how >= masking.mask_share)
    swapped &= how < masking.mask_share + masking.random_share
    random = (which[swapped] * len(masking.random_ids)).astype(np.int64)
    input_ids[swapped] = masking.random_ids[random]
    labels = np.where(chosen, blocks.tokens, NO_TARGET)
    return Batch(input_ids, labels, blocks.position_ids, blocks.document_ids)


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
    begins: Bools,
    candidate: Bools,
    document_ids: Ints,
    *,
    rate: float,
    draws: Floats,
) -> tuple[Bools, Floats]:
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
        rate: Share of the words to hide, at most ``HIGHEST_RATE``.
        draws: From 0 to below 1, ``[B, T, NUM_DRAWS]``.

    Returns:
        The hidden tokens, ``[B, T] bool``, and for these a number from 0 to below 1, the same for
        all tokens of a span, ``[B, T] float64``.

    Source:
        Joshi et al. 2020, SpanBERT. There spans are drawn until 15% are hidden, which favours
        short ones at the end, and they may touch.
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

    # Each span, with the gap behind it as one word, is placed among the words that are free.
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
