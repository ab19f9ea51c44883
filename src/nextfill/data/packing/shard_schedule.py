"""The shards of an order of blocks: those that a part of it reads, and those after that."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class ShardSchedule:
    """When the blocks of an order are read from each shard.

    Args:
        shards: The shards that blocks are read from, ``[n]``.
        first: The place in the order of the first block of each, ``[n]``.
        last: That of its last block, ``[n]``.
    """

    shards: Ints
    first: Ints
    last: Ints

    @classmethod
    def of(cls, shard: Ints) -> ShardSchedule:
        """Return the schedule of an order.

        Args:
            shard: The shard of each of its blocks, ``[blocks]``.
        """
        shards, first = np.unique(shard, return_index=True)
        _, before_end = np.unique(shard[::-1], return_index=True)
        return cls(shards, first.astype(np.int64), (len(shard) - 1 - before_end).astype(np.int64))

    def at(self, start: int, stop: int) -> tuple[list[int], list[int]]:
        """Return the shards that are in use between two places, and those after, in their order.

        Example:
            >>> ShardSchedule.of(np.array([1, 0, 1, 0, 3, 2])).at(1, 3)
            ([0, 1], [3, 2])
        """
        is_used = (self.first < stop) & (self.last >= start)
        after = np.flatnonzero(self.first >= stop)
        ahead = after[np.argsort(self.first[after], kind="stable")]
        return self.shards[is_used].tolist(), self.shards[ahead].tolist()
