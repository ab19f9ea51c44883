"""The batch size of a run whose blocks are few for it."""

from __future__ import annotations

from dataclasses import replace

from nextfill.config import TrainConfig
from nextfill.core.amounts import amount
from nextfill.core.progress import Observer
from nextfill.data.packing.block_plan import BlockPlan
from nextfill.data.parts import PreparedData
from nextfill.training.training_data import plan_mixture


def halved(size: int, num_blocks: int, least_steps: int) -> int:
    """Return a batch size, halved until an epoch has so many steps, or until it is 1.

    Example:
        >>> [halved(16, blocks, 24) for blocks in (1000, 384, 383, 50, 10)]
        [16, 16, 8, 2, 1]
    """
    while size > 1 and num_blocks < size * least_steps:
        size //= 2
    return size


def settle_batch_size(
    config: TrainConfig, prepared: PreparedData, plan: BlockPlan, observer: Observer
) -> TrainConfig:
    """Return the settings with a batch size by which an epoch has the steps that are asked for."""
    training = config.training
    if training.least_steps is None:
        return config
    mixture = plan_mixture(config, prepared, plan)
    num_blocks = plan.num_blocks if mixture is None else mixture.num_draws
    size = halved(training.batch_size, num_blocks, training.least_steps)
    if size == training.batch_size:
        return config
    observer.on_note(
        f"batches of {amount(size, 'block')}, not {training.batch_size}: of "
        f"{amount(num_blocks, 'block')} an epoch is to have {training.least_steps} steps "
        "(--batch-size N sets it)"
    )
    micro = training.micro_batch_size
    if micro is not None:  # as many micro-batches as before, where there are blocks for them
        micro = max(1, micro * size // training.batch_size)
    return replace(config, training=replace(training, batch_size=size, micro_batch_size=micro))
