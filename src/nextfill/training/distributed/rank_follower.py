"""What a rank does that is not the first: what that one says comes next, until the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nextfill.core.signals import deaf
from nextfill.training.checkpoint import load_optimizer_state, model_state, optimizer_state
from nextfill.training.distributed.rank_scoring import scored_parts, take_part
from nextfill.training.distributed.ranks import Command, Kind, ManyRanks, Ranks, check_batch
from nextfill.training.distributed.sharded_steps import ShardedTraining
from nextfill.training.distributed.share_writer import ShareWriter, see_same_folder
from nextfill.training.optimizer import make_optimizer
from nextfill.training.setup import Setup
from nextfill.training.step_figures import ReadStep
from nextfill.training.weight_average import WeightAverage

MakeBatch = Callable[[Setup, int, NDArray[np.int64]], Any]
TakeStep = Callable[[Setup, torch.optim.Optimizer, int, NDArray[np.int64], Any], ReadStep]
"""The functions of the loop that make and send the batch of a step, and that take it."""


def follow(setup: Setup, ranks: ManyRanks, make_batch: MakeBatch, take_step: TakeStep) -> Any:
    """Take part in whatever the first rank does, and return what it says at the end."""
    # Deaf, as the first rank needs this one for the end of its step.
    with deaf(), closing(setup.feed), ExitStack() as writers:
        config = ranks.share(None)
        setup = replace(setup, config=config)
        optimizer = make_optimizer(setup.module.model, config.training)
        average = WeightAverage(setup.module.model, config.training.ema_decay)
        step = _take_state(setup, optimizer, average)
        if setup.stream is not None:
            setup.stream.go_on_from(ranks.share(None))
        state = optimizer, average, step
        return _until_the_end(setup, ranks, state, (make_batch, take_step), writers)


def _until_the_end(
    setup: Setup,
    ranks: ManyRanks,
    state: tuple[torch.optim.Optimizer, WeightAverage, int],
    functions: tuple[MakeBatch, TakeStep],
    writers: ExitStack,
) -> Any:
    (optimizer, average, step), (make_batch, take_step) = state, functions
    parts, whole = scored_parts(setup), setup
    writer: ShareWriter | None = None
    own: dict[str, Tensor] | None = None
    ahead: tuple[int, Any] | None = None
    while True:
        if ahead is None and step < setup.num_steps and setup.feed.covers(step):
            # While the first rank makes its own.
            ahead = step, make_batch(setup, step, setup.feed.numbers(step))
        command = ranks.next_command()
        if writer is not None:
            writer.take_part(command)
        if command.kind is Kind.END:
            return command.about
        if command.kind is Kind.AVERAGE:
            own = average.take_place()
        elif command.kind is Kind.OWN_WEIGHTS and own is not None:
            average.give_back(own)
        elif command.kind is Kind.SCORE:
            which, work = command.about
            take_part(whole, ranks, parts[which], "", lambda *_: None, work=work)
        elif command.kind is Kind.SHARD:
            sees_folder = see_same_folder(ranks)
            sharded = ShardedTraining(whole, optimizer, sees_folder=sees_folder)
            writer = writers.enter_context(ShareWriter(ranks, sharded))
            setup, optimizer, ahead = sharded.setup, sharded.optimizer, None
        elif command.kind is Kind.STEP:
            step = command.number
            if not setup.feed.covers(step):  # the first rank has the portion, or waited for it
                setup.feed.advance(step)
            if ahead is None or ahead[0] != step:
                ahead = step, make_batch(setup, step, setup.feed.numbers(step))
            check_batch(ranks, command, ahead[1].batch)
            take_step(setup, optimizer, step, setup.feed.numbers(step), ahead[1])
            step, ahead = step + 1, None
            average.update(step)


def share_state(
    setup: Setup, optimizer: torch.optim.Optimizer, average: WeightAverage, step: int
) -> None:
    """Give the other ranks the settings and the state that the first one goes on from."""
    ranks = setup.ranks
    if ranks.world == 1:
        return
    ranks.share(setup.config)
    model = setup.module.model
    # Of shares the moments are divided later, so that no other rank ever holds them whole.
    found = {} if ranks.has_shares else optimizer_state(model, optimizer)
    shapes = {name: (tuple(one.shape), one.dtype, one.device.type) for name, one in found.items()}
    ranks.share((step, shapes))
    tensors = [*model_state(model).values(), *found.values(), *average.state().values()]
    ranks.share_tensors(tensors)
    if setup.stream is not None:
        ranks.share(setup.stream.reached())


def _take_state(setup: Setup, optimizer: torch.optim.Optimizer, average: WeightAverage) -> int:
    """Take over the state of the first rank, and return the steps that it has taken."""
    ranks, model = setup.ranks, setup.module.model
    step, shapes = ranks.share(None)
    found = {
        name: torch.empty(shape, dtype=kind, device="cpu" if at == "cpu" else setup.loaded.device)
        for name, (shape, kind, at) in shapes.items()
    }
    averages = average.state()
    ranks.share_tensors([*model_state(model).values(), *found.values(), *averages.values()])
    load_optimizer_state(model, optimizer, found)
    return int(step)


@contextmanager
def average_in_use(ranks: Ranks, average: WeightAverage) -> Iterator[None]:
    """Give the model of every rank the average for a while, where there is one."""
    if not average.is_kept:
        yield
        return
    ranks.command(Command(Kind.AVERAGE))
    with average.in_use():
        yield
    ranks.command(Command(Kind.OWN_WEIGHTS))
