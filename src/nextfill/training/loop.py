"""The training loop, in one place.

A step takes ``batch_size`` blocks, whatever the micro-batch. Its whole batch is built first, so
that the global target count is known before the first backward pass and gradients are those of the
mean over all its targets, however they fall into micro-batches.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from nextfill.config import Precision, TrainConfig
from nextfill.core.checksums import NO_BYTES
from nextfill.core.errors import Interrupted, RunError
from nextfill.data.packing.order import block_order, philox
from nextfill.models.computation import autocast
from nextfill.models.loss import LossSum
from nextfill.models.step import StepModule, to_tensors
from nextfill.objectives.batch import Batch
from nextfill.objectives.training_batches import TrainingBatches
from nextfill.runs.directory import RunDirectory
from nextfill.training.checkpoint import Cursor, load_checkpoint, save_checkpoint
from nextfill.training.optimizer import make_optimizer
from nextfill.training.schedule import learning_rate_at, warmup_steps
from nextfill.training.stop_request import interruption

logger = logging.getLogger("nextfill")

EndReason = Literal["all steps taken", "early stopping"]


class StepObserver(Protocol):
    """Whoever is told of each step: a terminal, a notebook, or nobody."""

    def on_start(self, step: int, num_steps: int) -> None:
        """Training begins at a step, which is not 0 after a resume."""

    def on_step(self, event: dict[str, Any], timing: dict[str, Any]) -> None:
        """One optimizer step was taken."""


@dataclass(frozen=True)
class Job:
    """Everything a run needs once data and model are ready.

    Args:
        config: The resolved settings.
        module: The step module around the model.
        batches: Makes a batch from blocks, for the objective.
        run: Where the run is written.
        device: Where to compute.
        precision: ``fp32`` or ``bf16``.
        evaluate: Scores what is to be scored and records it, given the step; says whether the run
            should stop early.
        observer: Told of each step.
        latest: The last step whose checkpoint may be gone on from; None for any.
    """

    config: TrainConfig
    module: StepModule
    batches: TrainingBatches
    run: RunDirectory
    device: torch.device
    precision: Precision
    evaluate: Callable[[int], bool]
    observer: StepObserver
    latest: int | None = None

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps that consume every block once; the last may be smaller."""
        return math.ceil(self.batches.plan.num_blocks / self.config.training.batch_size)

    @property
    def num_steps(self) -> int:
        """Optimizer steps of the whole run."""
        training = self.config.training
        steps = math.ceil(training.epochs * self.steps_per_epoch)
        return steps if training.max_steps is None else training.max_steps

    def blocks_after(self, step: int) -> int:
        """Return the blocks that so many optimizer steps consume."""
        epochs, within = divmod(step, self.steps_per_epoch)
        num_blocks = self.batches.plan.num_blocks
        return epochs * num_blocks + min(within * self.config.training.batch_size, num_blocks)


def train(job: Job) -> tuple[int, EndReason]:
    """Run a job from its newest checkpoint, or from the start, to its end."""
    training, run, num_steps = job.config.training, job.run, job.num_steps
    optimizer = make_optimizer(job.module.model, training)
    note = logger.warning  # shown to those, too, who want no progress
    cursor = load_checkpoint(run, job.module.model, optimizer, note, latest=job.latest)
    cursor = cursor or Cursor(0, 0, NO_BYTES)
    step, blocks = cursor.step, cursor.blocks
    if blocks != job.blocks_after(step):
        raise RunError(
            f"{run.path} has consumed {blocks:,} blocks at step {step}, and its settings make that "
            f"{job.blocks_after(step):,}: its checkpoint is of other data or settings."
        )
    run.go_back_to(cursor.events, note)
    eval_every = training.eval_every or job.steps_per_epoch
    save_every = training.save_every or job.steps_per_epoch
    order = lru_cache(maxsize=1)(partial(block_order, job.batches.plan.shard, job.config.seed))

    def evaluation_is_due() -> bool:
        return step % eval_every == 0 or step == num_steps

    # Before the first step, or cut off by what ended the run.
    enough = evaluation_is_due() and job.evaluate(step)
    job.observer.on_start(step, num_steps)
    with interruption() as stop:
        while step < num_steps and not enough:
            epoch, within = divmod(step, job.steps_per_epoch)
            first = within * training.batch_size
            numbers = order(epoch)[first : first + training.batch_size]
            event, timing = take_step(job, optimizer, step, numbers)
            step, blocks = step + 1, blocks + len(numbers)
            event = {"event": "step", "step": step, "blocks": blocks, **event}
            timing = {"step": step, **timing}
            run.append_event(event)
            run.append_timing(timing)
            job.observer.on_step(event, timing)
            if evaluation_is_due() or step % save_every == 0 or stop.asked:
                logs = run.record_logs()
                place = Cursor(step=step, blocks=blocks, events=logs[run.events.name])
                save_checkpoint(run, job.module.model, optimizer, place)
            if stop.asked:
                raise Interrupted(step, str(run.path))
            if evaluation_is_due():  # after it is saved, so that no one waits for it to stop
                with stop.at_once():
                    enough = job.evaluate(step)
    return step, "early stopping" if step < num_steps else "all steps taken"


def take_step(
    job: Job, optimizer: torch.optim.Optimizer, step: int, numbers: NDArray[np.int64]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Take one optimizer step.

    Returns:
        What happened (loss in nats per target, learning rate, gradient norm), and how fast.
    """
    training = job.config.training
    started = time.perf_counter()
    rate = learning_rate_at(
        step,
        peak=training.learning_rate,
        num_steps=job.num_steps,
        warmup=warmup_steps(training.warmup_steps, job.num_steps),
        schedule=training.schedule,
    )
    for group in optimizer.param_groups:
        group["lr"] = rate
    batch = job.batches(numbers, step // job.steps_per_epoch, step / max(1, job.num_steps - 1))
    loss, divisor, router = accumulate_gradients(job, batch, step)
    norm = clip_gradients(job.module.model, training.max_grad_norm)
    if not (math.isfinite(loss.nats) and math.isfinite(norm)):  # the weights are still good
        raise RunError(
            f"Training diverged: at step {step + 1} the loss is {loss.nats / divisor:g} and the "
            f"gradient norm {norm:g}. Start a new run with a lower --learning-rate than "
            f"{training.learning_rate:g}, or with more --warmup-steps."
        )
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    event = {
        "epoch": (step + 1) / job.steps_per_epoch,
        "loss": loss.nats / divisor,
        "nats": loss.nats,
        "targets": loss.targets,
        "learning_rate": rate,
        "grad_norm": norm,
        **({} if router is None else {"router_loss": router}),
    }
    return event, {"tokens": batch.num_tokens, "elapsed_s": time.perf_counter() - started}


def accumulate_gradients(job: Job, batch: Batch, step: int) -> tuple[LossSum, int, float | None]:
    """Run one step's micro-batches forward and backward.

    A mixture's router has a loss of its own over each micro-batch. It has the weight that the nats
    of the micro-batch have in the step, its share of the targets, so that the step's loss is a mean
    of what transformers' would be, whatever the rows of a micro-batch hold.
    """
    training = job.config.training
    size = training.micro_batch_size or training.batch_size
    count = batch.num_targets if training.normalize_by == "targets" else batch.num_tokens
    divisor = max(1, count)  # a step of few short documents may have none, and no gradient
    loss, routers = LossSum(), []
    job.module.train()
    for index, start in enumerate(range(0, len(batch.input_ids), size)):
        micro = batch.rows(start, start + size)
        # Dropout is a function of the place in the run, not of what ran before it.
        torch.manual_seed(dropout_seed(job.config.seed, step, index))
        if micro.num_targets == 0:  # by chance none is masked
            continue
        with autocast(job.device, job.precision):
            nats, router = job.module(*to_tensors(micro, job.device), with_router=True)
        part = nats.sum() / divisor
        if router is not None:
            router = router * (micro.num_targets / batch.num_targets)
            routers.append(float(router.detach()))
            part = part + router
        part.backward()
        loss += LossSum(float(nats.detach().cpu().double().sum()), nats.numel())
    return loss, divisor, math.fsum(routers) if routers else None


def dropout_seed(seed: int, step: int, micro_batch: int) -> int:
    """Return the framework's seed for one micro-batch."""
    return int(philox("dropout", seed, step, micro_batch).random_raw(1)[0]) >> 1


def clip_gradients(model: torch.nn.Module, max_norm: float) -> float:
    """Scale the gradients down to a norm, and return the norm they had."""
    parameters = [p for p in model.parameters() if p.grad is not None]
    limit = max_norm or math.inf
    return float(torch.nn.utils.clip_grad_norm_(parameters, limit))
