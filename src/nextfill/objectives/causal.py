"""The causal objective: each position predicts the token that follows in its document."""

from __future__ import annotations

from nextfill.data.packing.block_reader import Blocks
from nextfill.objectives.batch import Batch


def causal(blocks: Blocks) -> Batch:
    """Make the batch whose labels are the next tokens.

    Args:
        blocks: Rows of framed tokens, each ``[B, T]``.

    Returns:
        The batch; a document's last token, and padding, have no target.
    """
    return Batch(blocks.tokens, blocks.next_tokens, blocks.position_ids, blocks.document_ids)
