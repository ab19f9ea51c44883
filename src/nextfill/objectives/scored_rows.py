"""The rows of an evaluation: every document in pieces that fit, each with its targets."""

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
    """Rows that an evaluation gives to a model, of one document each.

    Args:
        document: Number of each row's document in the store, ascending, ``[R] int64``.
        length: Positions of each row, ``[R] int64``.
        targets: Targets of each row at most, ``[R] int64``.
        place: Of each row, which of its document's tokens a target in the first column would be,
            ``[R] int64``; one in the next column is the next token, and so on.
        batch: Makes the batch of some rows, given their numbers; each row has the same targets
            in whatever batch it comes.
    """

    document: Ints
    length: Ints
    targets: Ints
    place: Ints
    batch: Callable[[Ints], Batch]

    def between(self, first: int, stop: int) -> ScoredRows:
        """Return the rows from one to before another, numbered from 0."""
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

    Args:
        store: The tokens.
        selected: Document numbers, ascending, ``[n] int64``.
        block_size: Positions of a window at most.
        stride: New targets of each window after a document's first; without, windows follow one
            another.
        frame: What surrounds each document.
        pad_id: Fills short rows; never a target.
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
    """Cut each document into framed pieces, with masks that stay where they are.

    A mask is keyed by the document's text and the piece's place in it, so that a document is given
    the same blanks whichever others are scored beside it, and every model of a tokenizer the same.

    Args:
        store: The tokens.
        selected: Document numbers, ascending, ``[n] int64``.
        block_size: Positions of a piece at most, special tokens included.
        frame: What surrounds each piece.
        pad_id: Fills short rows; never a target.
        masking: What is hidden, and how.
        seed: Keys the masks as well.
        word_starts: Of each shard, whether a word begins at a token, where the masking wants it.
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
