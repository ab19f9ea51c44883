"""The rows of a pseudo-log-likelihood: each token of a text is hidden once, and filled in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from nextfill.config import PseudoMetric
from nextfill.data.packing.loader import NO_TARGET, Blocks, read_blocks
from nextfill.data.packing.plan import Frame, plan_blocks
from nextfill.data.tokens.store import TokenStore
from nextfill.objectives.batch import Batch
from nextfill.objectives.scored import Ints, ScoredRows


def pseudo_rows(
    store: TokenStore,
    selected: Ints,
    *,
    block_size: int,
    frame: Frame,
    pad_id: int,
    mask_id: int,
    metric: PseudoMetric,
    word_starts: Sequence[NDArray[np.bool_]] | None = None,
) -> ScoredRows:
    """Make one row for each token of each document, with that token as its only target.

    A document longer than a block is cut into framed pieces, as `masked_rows` cuts it; a token sees
    its piece. Tokens that the text itself spells, special ones too, are targets like all others, so
    that the targets are the whole text. Rows come in the order of the tokens, and are made when
    their batch is asked for: what is kept is two numbers a row.

    Args:
        store: The tokens.
        selected: Document numbers, ascending, ``[n] int64``.
        block_size: Positions of a piece at most, special tokens included.
        frame: What surrounds each piece.
        pad_id: Fills short rows; never a target.
        mask_id: Hides a token.
        metric: ``original`` hides the target alone, ``within-word`` also what follows it in its
            word, so that a word that was learnt by heart is not given away by its own end.
        word_starts: Of each shard, whether a word begins at a token; for ``within-word``.

    Returns:
        The rows.

    Raises:
        ConfigError: The frame leaves no room in a block.
        ValueError: ``within-word`` without ``word_starts``.

    Source:
        Salazar et al. 2020, "Masked Language Model Scoring" (original); Kauf and Ivanova 2023, "A
        Better Way to Do Masked Language Model Scoring" (within-word, there PLL-word-l2r).
    """
    if metric == "within-word" and word_starts is None:
        raise ValueError("within-word needs to know where words begin")
    frame = replace(frame, each_piece=True)
    plan = plan_blocks(store, selected, policy="pad", block_size=block_size, frame=frame)
    own = plan.length - len(frame)  # tokens of each piece, each a row
    last = np.cumsum(own)

    def batch(numbers: Ints) -> Batch:
        piece = np.searchsorted(last, numbers, side="right")
        target = len(frame.prefix) + numbers - (last - own)[piece]
        pieces, row = np.unique(piece, return_inverse=True)  # many rows are of one piece
        blocks = read_blocks(
            store,
            plan,
            pieces,
            pad_id=pad_id,
            isolate=True,
            width=int(plan.length[pieces].max(initial=1)),
            word_starts=word_starts if metric == "within-word" else None,
        )
        return _hidden(blocks, row, target, mask_id)

    document, length = np.repeat(plan.document, own), np.repeat(plan.length, own)
    place = np.repeat(plan.start - len(frame.prefix), own)
    return ScoredRows(document, length, np.broadcast_to(np.int64(1), length.shape), place, batch)


def _hidden(blocks: Blocks, row: Ints, target: Ints, mask_id: int) -> Batch:
    """Return pieces as often as they are asked for, each with one target, hidden.

    Args:
        blocks: Pieces of one document each, ``[P, T]``.
        row: Which piece each row is, ``[B] int64``.
        target: Where in it the target stands, ``[B] int64``.
        mask_id: Stands in the place of what is hidden.
    """
    at = np.arange(len(row))
    tokens = blocks.tokens[row]
    hidden = np.zeros(tokens.shape, np.bool_)
    hidden[at, target] = True
    if blocks.word_starts is not None:
        word = np.cumsum(blocks.word_starts, axis=1)[row]  # of each position, numbered in its piece
        after = np.arange(tokens.shape[1]) > target[:, None]
        hidden |= after & (word == word[at, target][:, None]) & ~blocks.special[row]
    labels = np.full_like(tokens, NO_TARGET)
    labels[at, target] = tokens[at, target]
    tokens[hidden] = mask_id
    return Batch(tokens, labels, blocks.position_ids[row], blocks.document_ids[row])
