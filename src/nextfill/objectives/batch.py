"""The batch every objective makes and every step module takes, and the causal one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nextfill.data.packing.block_reader import NO_TARGET, Blocks


@dataclass(frozen=True)
class Batch:
    """Rows ready for a model, with the targets already in place.

    A label belongs to the position whose output predicts it: for a causal objective it is the
    *next* token. (transformers shifts labels inside the model instead, which cannot express that
    the last position of a row predicts the first token of the next one.)

    Args:
        input_ids: ``[B, T] int64``.
        labels: ``[B, T] int64``, -100 where there is no target.
        position_ids: ``[B, T] int64``, restarted for each document where those are kept apart.
        document_ids: ``[B, T] int64``, numbering the documents of a row; -1 on padding.
    """

    input_ids: NDArray[np.int64]
    labels: NDArray[np.int64]
    position_ids: NDArray[np.int64]
    document_ids: NDArray[np.int64]

    @property
    def num_targets(self) -> int:
        """Positions that have a target."""
        return int(np.count_nonzero(self.labels != NO_TARGET))

    @property
    def num_tokens(self) -> int:
        """Positions that are not padding."""
        return int(np.count_nonzero(self.document_ids >= 0))

    @property
    def target_rows(self) -> NDArray[np.int64]:
        """Positions of the flattened batch that have a target, ``[N] int64``."""
        return np.flatnonzero(self.labels != NO_TARGET)

    @property
    def text_rows(self) -> NDArray[np.int64]:
        """Positions of the flattened batch that are not padding, ``[N] int64``."""
        return np.flatnonzero(self.document_ids >= 0)

    def some(self, rows: NDArray[np.int64], width: int) -> Batch:
        """Return the first columns of some rows by their numbers, ``[n] int64``."""
        parts = (self.input_ids, self.labels, self.position_ids, self.document_ids)
        return Batch(*(part[rows, :width] for part in parts))

    def rows(self, start: int, stop: int) -> Batch:
        """Return some rows, trimmed to the longest of them."""
        document_ids = self.document_ids[start:stop]
        used = np.flatnonzero((document_ids >= 0).any(axis=0))
        width = int(used[-1]) + 1 if len(used) else 1
        parts = (self.input_ids, self.labels, self.position_ids, self.document_ids)
        return Batch(*(part[start:stop, :width] for part in parts))


def causal(blocks: Blocks) -> Batch:
    """Make the batch of a causal objective: each position predicts the next token of its document.

    A document's last token, and padding, have no target.
    """
    return Batch(blocks.tokens, blocks.next_tokens, blocks.position_ids, blocks.document_ids)
