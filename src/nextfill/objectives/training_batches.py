"""Batches of a training run: any blocks of its plan, for the objective that it trains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from nextfill.data.packing.block_plan import BlockPlan
from nextfill.data.packing.block_reader import read_blocks
from nextfill.data.store.token_store import TokenStore
from nextfill.objectives.batch import Batch, causal
from nextfill.objectives.masked import Masking, masked


@dataclass(frozen=True)
class TrainingBatches:
    """Maker of batches from blocks, which depend on their place in a run and on nothing before.

    Args:
        store: The tokens.
        plan: The division of the tokens into blocks.
        pad_id: Fills short rows; never a target.
        isolate: Documents of a row do not see one another.
        seed: Keys the masks, with the epoch and the block.
        masking: The tokens to hide; None for a causal model.
        training_rates: Masking rates at the first step and the last; None for the masking's own.
        word_starts: Of each shard, whether a word begins at a token, if the masking needs it.
        first_block: Blocks of the portions of a stream before this one, whose masks are others.
    """

    store: TokenStore
    plan: BlockPlan
    pad_id: int
    isolate: bool
    seed: int = 0
    masking: Masking | None = None
    training_rates: tuple[float, float] | None = None
    word_starts: Sequence[NDArray[np.bool_]] | None = None
    first_block: int = 0

    def __call__(
        self,
        numbers: NDArray[np.int64],
        epoch: int | NDArray[np.int64] = 0,
        progress: float = 1.0,
    ) -> Batch:
        """Make a batch, ``[B, block_size]``.

        Args:
            numbers: The blocks, ``[B] int64``.
            epoch: From 0; each has masks of its own. One for all blocks, or one of each,
                ``[B] int64``.
            progress: Share of the run's steps that were taken, along which the masking rate goes
                evenly from the first of ``training_rates`` to the last.

        Source:
            Ankner et al. 2023, Dynamic Masking Rate Schedules for MLM Pretraining: a rate that
            falls, from 30% to 15%, trains better than either.
        """
        blocks = read_blocks(
            self.store,
            self.plan,
            numbers,
            pad_id=self.pad_id,
            isolate=self.isolate,
            word_starts=self.word_starts,
        )
        if self.masking is None:
            return causal(blocks)
        masking = self.masking
        if self.training_rates is not None:
            first, last = self.training_rates
            rate = first + (last - first) * progress
            masking = replace(masking, rate=rate)
        before = self.first_block
        epochs = np.broadcast_to(epoch, blocks.numbers.shape).tolist()
        keys = [
            (self.seed, of_block, before + number)
            for of_block, number in zip(epochs, blocks.numbers.tolist(), strict=True)
        ]
        return masked(blocks, masking, keys)
