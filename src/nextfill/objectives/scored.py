"""The rows of an evaluation: every document in pieces that fit, each with its targets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nextfill.data.packing.loader import read_blocks, read_windows
from nextfill.data.packing.plan import Frame, plan_blocks
from nextfill.data.packing.windows import plan_windows
from nextfill.data.tokens.store import TokenStore
from nextfill.objectives.batch import Batch
from nextfill.objectives.causal import causal
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
