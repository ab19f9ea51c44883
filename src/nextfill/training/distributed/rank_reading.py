"""An evaluation by several ranks: each reads some batches, and every rank has all readings.

All ranks take the same way through the evaluation, on the same numbers; only the batches that the
model computes are divided. So each batch is one that a process alone would make, and a number the
same to the last bit whatever their number. What they have in common at one place has a name, by
which ranks that went another way find it out.
"""

from __future__ import annotations

import heapq
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nextfill.core.errors import OtherRankError, RunError
from nextfill.evaluation.batch_division import BatchDivision, Reading
from nextfill.training.distributed.rank_task import ENDED
from nextfill.training.distributed.ranks import Ranks, refuse_differences


class RankDivision(BatchDivision):
    """The part of one rank in an evaluation.

    Args:
        ranks: All of them.
    """

    def __init__(self, ranks: Ranks) -> None:
        self._ranks = ranks
        self.world = ranks.world
        self._batches = ""

    def check(self, findings: Callable[[], Mapping[str, str]]) -> None:
        """Refuse ranks that are about to score something else than the first."""
        refuse_differences(self._gather("what is scored", findings()))

    def takes(self, costs: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Tell which batches this rank reads: as many positions as any other, nearly."""
        self._batches = f"batches {zlib.crc32(costs.tobytes()):08x}"
        return np.equal(ranks_of(costs, self.world), self._ranks.rank)

    def join(self, readings: Sequence[Reading]) -> Sequence[Reading]:
        """Return the readings of all ranks."""
        own = [
            (row.astype(np.int32), place.astype(np.int32), read) for row, place, read in readings
        ]
        every = self._gather(self._batches, own)
        return [
            (row.astype(np.int64), place.astype(np.int64), read)
            for of_rank in every
            for row, place, read in of_rank
        ]

    def end(self) -> None:
        """Wait until all have come to the end, so that the error of one is that of all."""
        self._gather("the end", None)

    def _gather(self, where: str, found: Any) -> list[Any]:
        """Return what all ranks found at one place, refusing those that are at another."""
        places, every = zip(*self._ranks.gather((where, found)), strict=True)
        if ENDED in places:  # which that rank tells of
            raise OtherRankError(every[places.index(ENDED)], 2)
        for rank, place in enumerate(places):
            if place != places[0]:
                raise RunError(
                    f"Rank {rank} has come to {place} while rank 0 has come to {places[0]}: the "
                    "ranks see different things. Give all machines the same files and versions "
                    "of packages."
                )
        return list(every)


def ranks_of(costs: NDArray[np.int64], world: int) -> NDArray[np.int64]:
    """Return the rank of each batch: in turn, the one that has least to do.

    Source: R. L. Graham, Bounds on multiprocessing timing anomalies, 1969: with the longest first
    no rank has more than 4/3 of the least possible.

    Example:
        >>> ranks_of(np.array([5, 4, 3, 3, 3]), 2)
        array([0, 1, 1, 0, 1])
    """
    least = [(0, rank) for rank in range(world)]
    found = np.empty(len(costs), np.int64)
    for batch in np.argsort(-costs, kind="stable").tolist():
        cost, rank = least[0]
        heapq.heapreplace(least, (cost + int(costs[batch]), rank))
        found[batch] = rank
    return found
