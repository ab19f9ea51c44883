"""The engine whose ranks hold a share of the model each."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from nextfill.training.distributed.ranks import Command, Kind
from nextfill.training.distributed.sharded_steps import ShardedTraining
from nextfill.training.distributed.share_writer import ShareWriter, see_same_folder
from nextfill.training.engine import Engine, FinishStep, OptimizerState, StepState
from nextfill.training.loop import take_step
from nextfill.training.setup import Setup

logger = logging.getLogger("nextfill")


def take_steps(
    setup: Setup,
    state: OptimizerState,
    steps: range,
    numbers_of: Callable[[int], NDArray[np.int64]],
    finish_step: FinishStep,
) -> None:
    """Take steps with a model in shares until the last, or until one is enough."""
    if not steps:  # it was ended after its last step, and the model stays whole
        return
    ranks = setup.ranks
    ranks.command(Command(Kind.SHARD))
    is_shared = see_same_folder(ranks)
    sharded = ShardedTraining(setup, state.optimizer, sees_folder=is_shared, shares=state.shares)
    if not is_shared:
        logger.info(
            "Not all ranks see the folder of the run: the first one writes its checkpoints alone, "
            "and the others wait"
        )

    def bring(*, moments: bool) -> None:
        if not sharded.is_up_to_date:
            ranks.command(Command(Kind.GATHER, number=int(moments)))
            sharded.bring_up_to_date(moments=moments)

    with ShareWriter(ranks, sharded) as writer:
        of_shares = StepState(
            bring_weights=partial(bring, moments=False),
            bring_all=partial(bring, moments=True),
            save=writer.save if is_shared else None,
            check=writer.check,
            finish=writer.finish,
        )
        for step in steps:
            numbers = numbers_of(step)
            sharded.before_step()
            read = take_step(sharded.setup, sharded.optimizer, step, numbers)
            if not finish_step(read, of_shares):
                break
        writer.finish()


SHARDED = Engine(take_steps)


def by_size(engine: Engine) -> Engine:
    """Return an engine whose ranks hold a share each where `choose_shares` says so."""

    def take_chosen(
        setup: Setup,
        state: OptimizerState,
        steps: range,
        numbers_of: Callable[[int], NDArray[np.int64]],
        finish_step: FinishStep,
    ) -> None:
        chosen = SHARDED if setup.ranks.has_shares else engine
        chosen.take_steps(setup, state, steps, numbers_of, finish_step)

    return replace(engine, take_steps=take_chosen)
