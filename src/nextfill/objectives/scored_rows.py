"""Rows of an evaluation: every document in pieces that fit, each with its targets.

Documents are given by their numbers in a store, ascending, ``[n] int64``. A block size counts the
special tokens of the frame, which surrounds each piece; the pad id fills short rows and is never a
target.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from nextfill.config import PseudoMetric
from nextfill.data.packing.block_plan import Frame, plan_blocks
from nextfill.data.packing.block_reader import NO_TARGET, Blocks, read_blocks, read_windows
from nextfill.data.packing.windows import plan_windows
from nextfill.data.store.token_store import TokenStore
from nextfill.objectives.batch import Batch, causal
from nextfill.objectives.masked import Masking, masked

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class ScoredRows:
    """Rows of one document each, for a model to score.

    Args:
        document: Number of each row's document in the store, ascending, ``[R] int64``.
        length: Positions of each row, ``[R] int64``.
        targets: Targets of each row at most, ``[R] int64``.
        place: Number among its document's tokens of a target in each row's first column,
            ``[R] int64``; one in the next column is the next token, and so on.
        batch: Makes the batch of some rows by their numbers; each row has the same targets in
            any batch.
    """

    document: Ints
    length: Ints
    targets: Ints
    place: Ints
    batch: Callable[[Ints], Batch]

    def between(self, first: int, stop: int) -> ScoredRows:
        """Return the rows from ``first`` to before ``stop``, numbered from 0."""
        return ScoredRows(
            self.document[first:stop],
            self.length[first:stop],
            self.targets[first:stop],
            self.place[first:stop],
            lambda numbers: self.batch(numbers + first),
        )


def causal_rows(
    store: TokenStore,
    selected: Ints,
    *,
    block_size: int,
    stride: int | None,
    frame: Frame,
    pad_id: int,
) -> ScoredRows:
    """Slide a window over each document, so that each token but its first is a target once.

    Each window after a document's first has ``stride`` new targets; without a stride, windows
    follow one another.
    """
    plan = plan_windows(store, selected, block_size=block_size, stride=stride, frame=frame)
    return ScoredRows(
        plan.document,
        plan.length,
        plan.length,
        plan.start + 1 - len(frame.prefix),
        lambda numbers: causal(read_windows(store, plan, numbers, pad_id=pad_id)),
    )


def masked_rows(
    store: TokenStore,
    selected: Ints,
    *,
    block_size: int,
    frame: Frame,
    pad_id: int,
    masking: Masking,
    seed: int = 0,
    word_starts: Sequence[NDArray[np.bool_]] | None = None,
) -> ScoredRows:
    """Cut each document into framed pieces, with masks that are the same in every evaluation.

    A mask is keyed by the seed, the document's text and the piece's place in it, so that a document
    has the same blanks whichever others are scored beside it, and for every model of a tokenizer.
    ``word_starts`` are, of each shard, whether a word begins at a token, ``[n] bool``.
    """
    plan = plan_blocks(store, selected, policy="pad", block_size=block_size, frame=frame)
    hashes = store.documents["hash"]

    def batch(numbers: Ints) -> Batch:
        width = int(plan.length[numbers].max(initial=1))
        blocks = read_blocks(
            store, plan, numbers, pad_id=pad_id, isolate=True, width=width, word_starts=word_starts
        )
        documents, starts = plan.document[numbers], plan.start[numbers]
        keys = [
            (seed, *map(int, hashes[document]), start)
            for document, start in zip(documents.tolist(), starts.tolist(), strict=True)
        ]
        return masked(blocks, masking, keys)

    place = plan.start - len(frame.prefix)
    return ScoredRows(plan.document, plan.length, plan.length, place, batch)


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
    that the targets are the whole text. Rows come in the order of the tokens, and only with their
    batch, so that the memory of a row is two numbers. The metric ``original`` hides the target
    alone; ``within-word``, which needs ``word_starts``, also the rest of its word, so that the end
    of a word that was learnt by heart does not give its beginning away.

    Source:
        Salazar et al. 2020, "Masked Language Model Scoring" (original); Kauf and Ivanova 2023, "A
        Better Way to Do Masked Language Model Scoring" (within-word, there PLL-word-l2r).
    """
    if metric == "within-word" and word_starts is None:
        raise ValueError("within-word needs to know where words begin")
    frame = replace(frame, each_piece=True)
    plan = plan_blocks(store, selected, policy="pad", block_size=block_size, frame=frame)
    tokens = plan.length - len(frame)  # of each piece, each a row
    last = np.cumsum(tokens)

    def batch(numbers: Ints) -> Batch:
        piece = np.searchsorted(last, numbers, side="right")
        target = len(frame.prefix) + numbers - (last - tokens)[piece]
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

    document, length = np.repeat(plan.document, tokens), np.repeat(plan.length, tokens)
    place = np.repeat(plan.start - len(frame.prefix), tokens)
    return ScoredRows(document, length, np.broadcast_to(np.int64(1), length.shape), place, batch)


def _hidden(blocks: Blocks, row: Ints, target: Ints, mask_id: int) -> Batch:
    """Return rows of one hidden target each.

    Args:
        blocks: Pieces of one document each, ``[P, T]``.
        row: Piece of each row, ``[B] int64``.
        target: Column of each row's target, ``[B] int64``.
        mask_id: Replaces the hidden tokens.
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
