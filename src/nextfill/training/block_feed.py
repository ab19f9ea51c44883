"""The blocks of each step: what a feed gives, and the feed of data that are read already."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from nextfill.config import TrainingConfig
from nextfill.data.packing.mixture import Mixture
from nextfill.data.packing.order import block_order
from nextfill.data.packing.shard_schedule import ShardSchedule
from nextfill.objectives.batch import Batch
from nextfill.objectives.training_batches import TrainingBatches


class BlockFeed(Protocol):
    """The blocks of a run's steps.

    Attributes:
        interval: Steps from one evaluation, and checkpoint, to the next, by default: those of an
            epoch, where there are any.
    """

    interval: int

    def covers(self, step: int) -> bool:
        """Check that the blocks of a step are at hand."""

    def advance(self, step: int) -> dict[str, Any]:
        """Wait for the blocks of a step, and return an event about what they come from."""

    def go_to(self, step: int) -> list[dict[str, Any]]:
        """Go to the place of a run that took so many steps; return its events on the way."""

    def numbers(self, step: int) -> NDArray[np.int64]:
        """Return the numbers of a step's blocks."""

    def batch(self, step: int, numbers: NDArray[np.int64], progress: float) -> Batch:
        """Make the batch of a step from numbered blocks."""

    def blocks_after(self, step: int) -> int:
        """Return the number of blocks that the first steps consume."""

    def place(self, step: int) -> dict[str, Any]:
        """Return the place of a step in the data, for its event."""

    def ledger(self, ledger: Mapping[str, Any], step: int | None = None) -> dict[str, Any]:
        """Return the ledger of all data that steps were taken from."""

    def blocks_by_source(self, step: int) -> dict[str, int]:
        """Count the blocks of each source of a mixture that the first steps consume."""

    def close(self) -> None:
        """End what goes on in the background."""


class WholeFeed:
    """Blocks of data that are read already, epoch after epoch.

    Args:
        batches: Makes batches from the blocks.
        training: The settings of training.
        mixture: The blocks that an epoch takes of each source; None for each block once.
        sources: The names of the sources of a mixture.
    """

    def __init__(
        self,
        batches: TrainingBatches,
        training: TrainingConfig,
        mixture: Mixture | None = None,
        sources: Sequence[str] = (),
    ) -> None:
        self._batches, self._size = batches, training.batch_size
        self._mixture, self._sources = mixture, sources
        shard, seed = batches.plan.shard, batches.seed
        if mixture is None:
            self._num_blocks = batches.plan.num_blocks
            order = partial(block_order, shard, seed)
        else:
            self._num_blocks = mixture.num_draws
            order = partial(mixture.draws, shard, seed)
        self.interval = math.ceil(self._num_blocks / self._size)  # the last step may be smaller
        self._order = lru_cache(maxsize=1)(order)
        self._schedule = lru_cache(maxsize=1)(self._schedule_of)
        self._expected: list[int] | None = None
        self._has_copies = batches.store.shard_tokens.has_copies

    def covers(self, step: int) -> bool:
        """Check that the blocks of a step are at hand."""
        return True

    def advance(self, step: int) -> dict[str, Any]:
        """Do nothing."""
        return {}

    def go_to(self, step: int) -> list[dict[str, Any]]:
        """Do nothing."""
        return []

    def numbers(self, step: int) -> NDArray[np.int64]:
        """Return the numbers of a step's blocks, or draws of a mixture."""
        epoch, within = divmod(step, self.interval)
        start, stop = within * self._size, (within + 1) * self._size
        if self._has_copies:
            wanted, ahead = self._schedule(epoch).at(start, stop)
            if wanted != self._expected:  # others are begun with, or done
                self._expected = wanted
                self._batches.store.shard_tokens.expect(wanted, ahead)
        return self._order(epoch)[start:stop]

    def _schedule_of(self, epoch: int) -> ShardSchedule:
        """Return when the shards of an epoch are read."""
        plan = self._batches.plan
        return ShardSchedule.of(plan.shard[self._order(epoch) % plan.num_blocks])

    def batch(self, step: int, numbers: NDArray[np.int64], progress: float) -> Batch:
        """Make the batch of a step from numbered blocks, or draws."""
        if self._mixture is not None:
            passes, numbers = np.divmod(numbers, self._batches.plan.num_blocks)
            return self._batches(numbers, passes, progress)
        return self._batches(numbers, step // self.interval, progress)

    def blocks_after(self, step: int) -> int:
        """Return the number of blocks that the first steps consume."""
        epochs, within = divmod(step, self.interval)
        return epochs * self._num_blocks + min(within * self._size, self._num_blocks)

    def place(self, step: int) -> dict[str, Any]:
        """Return the place of a step in the data, for its event."""
        return {"epoch": (step + 1) / self.interval}

    def ledger(self, ledger: Mapping[str, Any], step: int | None = None) -> dict[str, Any]:
        """Return the ledger, with the blocks of each source where a mixture takes them."""
        if self._mixture is None:
            return dict(ledger)
        counts = zip(
            self._sources,
            self._mixture.num_blocks.tolist(),
            self._mixture.per_epoch.tolist(),
            strict=True,
        )
        return {
            **ledger,
            "mixture": {
                name: {"blocks": blocks, "blocks_per_epoch": per_epoch}
                for name, blocks, per_epoch in counts
            },
        }

    def blocks_by_source(self, step: int) -> dict[str, int]:
        """Count the blocks of each source of a mixture that the first steps consume."""
        if self._mixture is None:
            return {}
        taken = self._mixture.taken(self._batches.seed, self.blocks_after(step))
        return dict(zip(self._sources, taken.tolist(), strict=True))

    def close(self) -> None:
        """Do nothing."""
