"""The masked objective: some tokens are hidden, and each is predicted at its own position."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nextfill.config import MaskingUnit
from nextfill.core.errors import ConfigError
from nextfill.data.packing.block_reader import NO_TARGET, Blocks
from nextfill.data.packing.order import philox
from nextfill.objectives.batch import Batch
from nextfill.objectives.masked_spans import CHOICE, HIGHEST_RATE, HOW, NUM_DRAWS, choose_spans

WHICH = 2
"""Column of the numbers that say which random token takes a place; beside those of `spans`."""


@dataclass(frozen=True)
class Masking:
    """What to hide, and how.

    Args:
        rate: Share of the tokens that are chosen.
        unit: What is chosen whole: a ``token``, a ``word``, or a ``span`` of words.
        mask_id: Id of the mask token.
        special_ids: Never chosen, wherever they stand, ``[n] int64``.
        random_ids: A random token is one of these, each as likely, ``[n] int64``.
        mask_share: Share of the chosen tokens that the mask token replaces.
        random_share: Share of them that a random token replaces; the rest stay as they are.

    Raises:
        ConfigError: Shares that cannot be, or a rate that spans cannot reach.
    """

    rate: float
    unit: MaskingUnit
    mask_id: int
    special_ids: NDArray[np.int64]
    random_ids: NDArray[np.int64]
    mask_share: float = 0.8
    random_share: float = 0.1

    def __post_init__(self) -> None:
        if problems := [*self._problems()]:
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
    - ``span``: see `spans.choose_spans`. What becomes of a span is drawn once for all its tokens,
      as SpanBERT does it; a random token is drawn for each place.

    A row's masks depend on its key, on what it holds, and on nothing else: not on the other rows,
    nor on its padding.

    Args:
        blocks: Rows of framed tokens, each ``[B, T]``; ``word_starts`` where words or spans are
            chosen.
        masking: What to hide, and how.
        keys: Of each row, what its randomness hangs on, ``[B]``.

    Returns:
        The batch; -100 stands wherever no token was chosen.

    Raises:
        ValueError: Not a key for each row, or no word starts where they are needed.

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


def _draws(keys: Sequence[tuple[int, ...]], width: int) -> NDArray[np.float64]:
    """Return numbers from 0 to below 1 for each position, ``[B, T, NUM_DRAWS]``.

    A row's numbers come position by position, so that they do not hang on the width.
    """
    count = width * NUM_DRAWS
    raw = [philox("mask", *key).random_raw(count) for key in keys]
    numbers = np.array(raw, np.uint64).reshape(len(keys), width, NUM_DRAWS)
    return (numbers >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _word_begins(blocks: Blocks) -> NDArray[np.bool_]:
    """Say where a word begins in its row: at its first token, or where the row comes upon it."""
    if blocks.word_starts is None:
        raise ValueError("words can only be hidden where word_starts are read with the blocks")
    begins = blocks.word_starts.copy()
    begins[:, :1] = True
    begins[:, 1:] |= blocks.document_ids[:, 1:] != blocks.document_ids[:, :-1]
    return begins


def _hide(
    blocks: Blocks,
    masking: Masking,
    chosen: NDArray[np.bool_],
    how: NDArray[np.float64],
    which: NDArray[np.float64],
) -> Batch:
    """Replace what was chosen; ``how`` and ``which`` are from 0 to below 1, ``[B, T]``."""
    input_ids = blocks.tokens.copy()
    input_ids[chosen & (how < masking.mask_share)] = masking.mask_id
    swapped = chosen & (how >= masking.mask_share)
    swapped &= how < masking.mask_share + masking.random_share
    random = (which[swapped] * len(masking.random_ids)).astype(np.int64)
    input_ids[swapped] = masking.random_ids[random]
    labels = np.where(chosen, blocks.tokens, NO_TARGET)
    return Batch(input_ids, labels, blocks.position_ids, blocks.document_ids)
