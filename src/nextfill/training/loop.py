"""The training loop, in one place, and the request to stop it.

A step takes ``batch_size`` blocks, whatever the micro-batch. Its whole batch is built first, so
that the global target count is known before the first backward pass and gradients are those of the
mean over all its targets, however they fall into micro-batches.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from nextfill.core.errors import Interrupted, RunError
from nextfill.core.progress import Observer
from nextfill.models.computation import reads_late
from nextfill.objectives.batch import Batch
from nextfill.runs.directory import RunDirectory
from nextfill.training.distributed.step_sum import sum_step
from nextfill.training.engine import Engine, FinishStep, OptimizerState, StepState
from nextfill.training.gradients import SentPart, accumulate_gradients, sent_parts
from nextfill.training.optimizer import clip_gradients, set_learning_rate
from nextfill.training.run_state import RunState
from nextfill.training.schedule import stage_at, stage_progress, stage_rate
from nextfill.training.setup import Setup
from nextfill.training.step_figures import Event, ReadStep, StepClock
from nextfill.training.stop_request import saved_before_an_error, stop_request
from nextfill.training.utilization import utilization

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
    feed, state = setup.feed, RunState(setup, run, observer)
    optimizer = state.go_to_checkpoint(latest)
    # Before the first step, or cut off by what ended the run.
    enough = state.evaluation_is_due and state.evaluate()
    state.record_stage()
    observer.on_start(state.step, setup.num_steps)
    with stop_request() as stop:

        def numbers_of(step: int) -> NDArray[np.int64]:
            if not feed.covers(step):
                state.log.write()
                with stop.at_once(), saved_before_an_error(run, step, state.save):
                    event = feed.advance(step)
                run.append_event(event)
            return feed.numbers(step)

        def finish_step(read: ReadStep, now: StepState) -> bool:
            nonlocal enough
            state.count_step(read, now)
            is_stopped = stop.requested  # or at the next step, if it is from now on
            if state.save_is_due or is_stopped:
                state.save()
            if is_stopped:
                now.finish()
                raise Interrupted(state.step, str(run.path))
            if state.evaluation_is_due:  # after it is saved, so that no one waits for it to stop
                now.bring_weights()
                with stop.at_once():
                    enough = state.evaluate()
            state.record_stage()
            return not enough

        if not enough:
            steps = range(state.step, setup.num_steps)
            engine.take_steps(setup, optimizer, steps, numbers_of, finish_step)
    state.average.apply()
    return state.step, "early stopping" if state.step < setup.num_steps else "all steps taken"


def take_steps(
    setup: Setup,
    state: OptimizerState,
    steps: range,
    numbers_of: Callable[[int], NDArray[np.int64]],
    finish_step: FinishStep,
) -> None:
    """Take steps with PyTorch until the last, or until one is enough.

    While a GPU is at a step, the batch of the next one is made and sent.
    """
    feed, ahead = setup.feed, None
    for step in steps:
        read = take_step(setup, state.optimizer, step, numbers_of(step), ahead)
        is_made = reads_late(setup.loaded.device) and step + 1 in steps and feed.covers(step + 1)
        ahead = sent_batch(setup, step + 1, feed.numbers(step + 1)) if is_made else None
        if not finish_step(read, StepState()):
            break


TORCH = Engine(take_steps)


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
