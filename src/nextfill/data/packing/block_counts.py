"""Counts of the training blocks that a plan would have, shard by shard, without the plan.

A plan has 32 bytes for each piece of a document, which for gigabytes of text is hundreds of
megabytes; its counts are all that an account of the data needs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from nextfill.data.packing.block_plan import BlockPlan, Frame
from nextfill.data.store.token_store import TokenStore

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class BlockCounts:
    """The counts of a `BlockPlan`.

    Args:
        block_size: Tokens of a full block.
        frame: Special tokens around each document.
        num_blocks: Blocks.
        placed_tokens: Framed tokens in blocks.
        dropped: Framed tokens in no block, by reason.
    """

    block_size: int
    frame: Frame
    num_blocks: int
    placed_tokens: int
    dropped: dict[str, int] = field(default_factory=dict)

    @property
    def padding(self) -> int:
        """Positions of full-width blocks that hold no token."""
        return self.num_blocks * self.block_size - self.placed_tokens


def count_by_shard(
    store: TokenStore, selected: Ints, plan: Callable[[Ints], BlockPlan], *, at_once: bool = False
) -> BlockCounts:
    """Add up the counts of the plans of each shard's documents.

    Args:
        store: The documents.
        selected: Document numbers, ascending, ``[n] int64``.
        plan: Plans the blocks of some documents; no block may have documents of two shards.
        at_once: Plan those of all shards together.
    """
    bounds = np.searchsorted(selected, store.shard_bounds).tolist()
    pieces = [(first, last) for first, last in pairwise(bounds) if last > first]
    if at_once:
        pieces = [(0, len(selected))]
    blocks = tokens = 0
    dropped = Counter[str]()
    one = plan(selected[:0])
    for first, last in pieces:
        one = plan(selected[first:last])
        blocks += one.num_blocks
        tokens += one.placed_tokens
        dropped.update(one.dropped)
    return BlockCounts(one.block_size, one.frame, blocks, tokens, dict(dropped))
