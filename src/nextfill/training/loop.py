"""The training loop, in one place, and the request to stop it.

A step takes ``batch_size`` blocks, whatever the micro-batch. Its whole batch is built first, so
that the global target count is known before the first backward pass and gradients are those of the
mean over all its targets, however they fall into micro-batches.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from nextfill.core.amounts import amount
from nextfill.core.checksums import NO_BYTES
from nextfill.core.errors import Interrupted, RunError
from nextfill.core.progress import Observer
from nextfill.models.computation import reads_late
from nextfill.objectives.batch import Batch
from nextfill.runs.directory import RunDirectory
from nextfill.training.block_feed import BlockFeed
from nextfill.training.checkpoint import (
    Cursor,
    load_checkpoint,
    remove_older,
    save_checkpoint,
)
from nextfill.training.checkpoint_shares import StoredTensors
from nextfill.training.distributed.rank_follower import average_in_use, share_state
from nextfill.training.distributed.step_sum import sum_step
from nextfill.training.engine import Engine, FinishStep, StepState
from nextfill.training.evaluations import evaluate_step
from nextfill.training.extension import record_stage
from nextfill.training.gradients import SentPart, accumulate_gradients, sent_parts
from nextfill.training.optimizer import clip_gradients, make_optimizer, set_learning_rate
from nextfill.training.schedule import (
    branching_checkpoint,
    stage_at,
    stage_progress,
    stage_rate,
)
from nextfill.training.setup import Setup
from nextfill.training.step_figures import Event, ReadStep, StepClock
from nextfill.training.step_log import StepLog
from nextfill.training.stop_request import saved_before_an_error, stop_request
from nextfill.training.utilization import utilization
from nextfill.training.weight_average import WeightAverage

logger = logging.getLogger("nextfill")

EndReason = Literal["all steps taken", "early stopping"]


class SentBatch(NamedTuple):
    """The batch of a step, and its micro-batches on the device."""

    batch: Batch
    parts: Sequence[SentPart]


def run_steps(
    setup: Setup,
    run: RunDirectory,
    observer: Observer,
    engine: Engine,
    *,
    latest: int | None = None,
) -> tuple[int, EndReason]:
    """Train from the newest checkpoint, up to a latest step, or from the start to the end.

    The engine takes the steps.

    Returns:
        The number of steps taken in all, and the reason for the end.
    """
    training, model, feed = setup.config.training, setup.module.model, setup.feed
    optimizer = make_optimizer(model, training)
    average = WeightAverage(model, training.ema_decay)
    cursor = go_to_checkpoint(setup, run, optimizer, average, latest)
    step, blocks = cursor.step, cursor.blocks
    log = StepLog(run, observer)
    num_steps, state = setup.num_steps, StepState()
    eval_every, save_every = (
        every or feed.interval for every in (training.eval_every, training.save_every)
    )

    def save() -> None:
        log.write()
        place = Cursor(step=step, blocks=blocks, events=run.record_logs()[run.events.name])
        save_state(setup, run, state, place, (optimizer, average))

    ends = {stage.end for stage in setup.stages if stage.end == stage.num_steps}
    branching = {branching_checkpoint(stage) for stage in setup.stages}

    def evaluation_is_due() -> bool:
        return step % eval_every == 0 or step in ends

    def evaluate() -> bool:
        with average_in_use(setup.ranks, average):
            return evaluate_step(setup, run, observer, step)

    # Before the first step, or cut off by what ended the run.
    enough = evaluation_is_due() and evaluate()
    record_stage(setup, run, step, log)
    observer.on_start(step, num_steps)
    with stop_request() as stop:

        def numbers_of(step: int) -> NDArray[np.int64]:
            if not feed.covers(step):
                log.write()
                with stop.at_once(), saved_before_an_error(run, step, save):
                    event = feed.advance(step)
                run.append_event(event)
            return feed.numbers(step)

        def finish_step(read: ReadStep, now: StepState) -> bool:
            nonlocal step, blocks, enough, state
            state = now  # for what saves later, as an error of the source does
            state.check()
            blocks, step = blocks + len(feed.numbers(step)), step + 1
            average.update(step)
            is_due = evaluation_is_due() or step % save_every == 0 or step in branching
            log.add(step, blocks, read, is_late=reads_late(setup.loaded.device) and not is_due)
            is_stopped = stop.requested  # or at the next step, if it is from now on
            if is_due or is_stopped:
                save()
            if is_stopped:
                state.finish()
                raise Interrupted(step, str(run.path))
            if evaluation_is_due():  # after it is saved, so that no one waits for it to stop
                state.bring_weights()
                with stop.at_once():
                    enough = evaluate()
            record_stage(setup, run, step, log)
            return not enough

        if not enough:
            engine.take_steps(setup, optimizer, range(step, num_steps), numbers_of, finish_step)
    average.apply()
    return step, "early stopping" if step < num_steps else "all steps taken"


def take_steps(
    setup: Setup,
    optimizer: torch.optim.Optimizer,
    steps: range,
    numbers_of: Callable[[int], NDArray[np.int64]],
    finish_step: FinishStep,
) -> None:
    """Take steps with PyTorch until the last, or until one is enough.

    While a GPU is at a step, the batch of the next one is made and sent.
    """
    feed, ahead = setup.feed, None
    for step in steps:
        read = take_step(setup, optimizer, step, numbers_of(step), ahead)
        is_made = reads_late(setup.loaded.device) and step + 1 in steps and feed.covers(step + 1)
        ahead = sent_batch(setup, step + 1, feed.numbers(step + 1)) if is_made else None
        if not finish_step(read, StepState()):
            break


TORCH = Engine(take_steps)


def save_state(
    setup: Setup,
    run: RunDirectory,
    state: StepState,
    place: Cursor,
    of_model: tuple[torch.optim.Optimizer, WeightAverage],
) -> None:
    """Save a checkpoint, by the engine where it does so itself; then remove those before it."""
    last = branching_checkpoint(stage_at(setup.stages, max(0, place.step - 1)))
    count = setup.config.training.keep_checkpoints
    keep = partial(remove_older, run.checkpoints, count, last)
    if state.save is not None:
        state.save(run, place, keep)
        return
    state.bring_all()
    optimizer, average = of_model
    save_checkpoint(run, setup.module.model, optimizer, place, average)
    keep()


def go_to_checkpoint(
    setup: Setup,
    run: RunDirectory,
    optimizer: torch.optim.Optimizer,
    average: WeightAverage,
    latest: int | None,
) -> Cursor:
    """Load the newest checkpoint, for all ranks, and take records and data back to its place."""
    warn = logger.warning  # shown to those, too, who want no progress
    model = setup.loaded.model
    ranks = setup.ranks

    def keep_moments(moments: StoredTensors) -> None:
        ranks.moments = moments

    cursor = load_checkpoint(
        *(run, model, optimizer, warn),
        latest=latest,
        average=average,
        on_moments=keep_moments if ranks.has_shares else None,
    )
    cursor = cursor or Cursor(0, 0, NO_BYTES)
    run.go_back_to(cursor.events, warn)
    check_place(run, setup.feed, cursor)
    share_state(setup, optimizer, average, cursor.step)
    return cursor


def check_place(run: RunDirectory, feed: BlockFeed, cursor: Cursor) -> None:
    """Go to the place of a checkpoint in the data, which must be as they were."""
    events = feed.go_to(cursor.step)
    if events != run.read_events("portion"):
        raise RunError(
            f"The data of {run.path} have changed since it began (other text comes by step "
            f"{cursor.step}): bring the old data back, or start a new run."
        )
    if cursor.blocks != feed.blocks_after(cursor.step):
        raise RunError(
            f"{run.path} has consumed {amount(cursor.blocks, 'block')} at step {cursor.step}, "
            "and its "
            f"settings make that {feed.blocks_after(cursor.step):,}: its checkpoint is of other "
            "data or settings."
        )


def take_step(
    setup: Setup,
    optimizer: torch.optim.Optimizer,
    step: int,
    numbers: NDArray[np.int64],
    ahead: SentBatch | None = None,
) -> ReadStep:
    """Take one optimizer step over numbered blocks, whose batch may be sent ahead.

    Returns:
        A function that returns the event (loss in nats per target, learning rate, gradient norm)
        and the timing, and that ends a run that diverged. It waits for a GPU; elsewhere it was
        called before the weights changed, so that they are still good.
    """
    clock = StepClock(setup.loaded.device)
    rate = learning_rate_of(setup, step)
    set_learning_rate(optimizer, rate)
    batch, parts = ahead or (batch_of(setup, step, numbers), None)
    setup.ranks.begin_step(step, batch)
    losses = sum_step(setup, batch, accumulate_gradients(setup, batch, step, parts))
    place = setup.feed.place(step)
    most, whole_norm = setup.config.training.max_grad_norm, setup.ranks.whole_norm
    figures = losses.copied(clip_gradients(setup.module.model, most, whole_norm))

    @cache
    def event() -> Event:
        loss, others, (norm,) = figures()
        check_finite(setup, step, loss.nats / losses.divisor, norm)
        return {
            **place,
            "loss": loss.nats / losses.divisor,
            "nats": loss.nats,
            "targets": loss.targets,
            "learning_rate": rate,
            "grad_norm": norm,
            **others,
        }

    if not reads_late(setup.loaded.device):
        event()
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    clock.stop()

    def timing() -> Event:
        elapsed_s, device = clock.elapsed_s, setup.loaded.device
        seconds = elapsed_s * setup.ranks.world  # of as many devices
        used = utilization(setup.loaded.model, batch, seconds, setup.config.precision, device)
        return {"tokens": batch.num_tokens, "elapsed_s": elapsed_s, **used}

    return lambda: (event(), timing())


def sent_batch(setup: Setup, step: int, numbers: NDArray[np.int64]) -> SentBatch:
    """Make the batch of a step, and send it to the device while that computes."""
    batch = batch_of(setup, step, numbers)
    return SentBatch(batch, list(sent_parts(setup, batch)))


def learning_rate_of(setup: Setup, step: int) -> float:
    """Return the learning rate of a step of a run."""
    return stage_rate(stage_at(setup.stages, step), step)


def batch_of(setup: Setup, step: int, numbers: NDArray[np.int64]) -> Batch:
    """Make the batch of a step of a run."""
    progress = stage_progress(stage_at(setup.stages, step), step)
    return setup.feed.batch(step, numbers, progress)


def check_finite(setup: Setup, step: int, loss: float, norm: float) -> None:
    """End a run that diverged."""
    training = setup.config.training
    if not (math.isfinite(loss) and math.isfinite(norm)):
        raise RunError(
            f"Training diverged: at step {step + 1} the loss is {loss:g} and the gradient norm "
            f"{norm:g}. Start a new run with a lower --learning-rate than "
            f"{training.learning_rate:g}, or with more --warmup-steps."
        )
