"""The engine whose ranks hold a share of the model each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from nextfill.training.distributed.ranks import Command, Kind
from nextfill.training.distributed.sharded_steps import ShardedTraining
from nextfill.training.loop import Engine, FinishStep, take_step
from nextfill.training.setup import Setup


def take_steps(
    setup: Setup,
    optimizer: torch.optim.Optimizer,
    steps: range,
    numbers_of: Callable[[int], NDArray[np.int64]],
    finish_step: FinishStep,
) -> None:
    """Take steps with a model in shares until the last, or until one is enough."""
    if not steps:  # it was ended after its last step, and the model stays whole
        return
    ranks = setup.ranks
    ranks.command(Command(Kind.SHARD))
    sharded = ShardedTraining(setup, optimizer)

    def update() -> None:
        ranks.command(Command(Kind.GATHER))
        sharded.bring_up_to_date()

    for step in steps:
        numbers = numbers_of(step)
        sharded.before_step()
        read = take_step(sharded.setup, sharded.optimizer, step, numbers)
        if not finish_step(read, update):
            break


SHARDED = Engine(take_steps)


def by_size(engine: Engine) -> Engine:
    """Return an engine whose ranks hold a share each where `choose_shares` says so."""

    def take_chosen(
        setup: Setup,
        optimizer: torch.optim.Optimizer,
        steps: range,
        numbers_of: Callable[[int], NDArray[np.int64]],
        finish_step: FinishStep,
    ) -> None:
        chosen = SHARDED if setup.ranks.has_shares else engine
        chosen.take_steps(setup, optimizer, steps, numbers_of, finish_step)

    return replace(engine, take_steps=take_chosen)
