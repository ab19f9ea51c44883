"""The gradients of a step, added up over its micro-batches, and the losses that they are of."""

from __future__ import annotations

import math
from contextlib import nullcontext

import torch
from torch import Tensor

from nextfill.data.packing.order import philox
from nextfill.models.computation import autocast
from nextfill.models.distillation import target_logits
from nextfill.models.loss import LossSum
from nextfill.models.quick_functions import quick_functions
from nextfill.models.step import to_tensors
from nextfill.objectives.batch import Batch
from nextfill.training.setup import Setup

ROUTER, DISTILLATION = "router_loss", "distillation_loss"
"""Losses beside the text's, as a step's event has them."""


def accumulate_gradients(
    setup: Setup, batch: Batch, step: int
) -> tuple[LossSum, int, dict[str, float | list[float]]]:
    """Run one step's micro-batches forward and backward.

    A mixture's router has a loss of its own over each micro-batch. It has the weight that the nats
    of the micro-batch have in the step, its share of the targets, so that the step's loss is a mean
    of what transformers' would be, whatever the rows of a micro-batch hold.

    Returns:
        The loss in nats, the count that the gradient was divided by, and further figures: what
        the router's loss adds to their quotient, the load of its experts by layer, and the distance
        from a teacher, divided by that count and before it has its share; none where there is none.
    """
    training, device = setup.config.training, setup.loaded.device
    size = training.micro_batch_size or training.batch_size
    divisor = divisor_of(setup, batch)
    loss, others = LossSum(), dict[str, list[float]]()
    setup.module.train()
    setup.module.expert_load.reset()
    # What is compiled is quick by itself.
    with nullcontext() if training.compile else quick_functions(device):
        for index, start in enumerate(range(0, len(batch.input_ids), size)):
            micro = batch.rows(start, start + size)
            if micro.num_targets == 0:  # by chance none is masked
                continue
            tensors = to_tensors(micro, device)
            taught = _taught(setup, tensors)
            # Dropout is a function of the place in the run, not of what ran before it.
            torch.manual_seed(dropout_seed(setup.config.seed, step, index))
            with autocast(device, setup.config.precision), setup.module.in_training():
                if setup.teacher is None or taught is None:
                    nats, router = setup.module(*tensors, with_router=True)
                    part = nats.sum() / divisor
                else:
                    logits, router = setup.module(*tensors, target_logits, with_router=True)
                    nats, distances = setup.teacher.losses(logits, taught, tensors[1])
                    part = setup.teacher.weighted_sum(nats, distances) / divisor
                    others.setdefault(DISTILLATION, []).append(_sum(distances) / divisor)
            if router is not None:
                router = router * (micro.num_targets / batch.num_targets)
                others.setdefault(ROUTER, []).append(float(router.detach()))
                part = part + router
            part.backward()
            loss += LossSum(_sum(nats), nats.numel())
    losses = {name: math.fsum(parts) for name, parts in others.items()}
    return loss, divisor, {**losses, **setup.module.expert_load.figures()}


def _taught(setup: Setup, tensors: tuple[Tensor, ...]) -> Tensor | None:
    """Return the logits of the teacher, None where there is none."""
    if setup.teacher is None:
        return None
    with autocast(setup.loaded.device, setup.config.precision):
        return setup.teacher.logits(*tensors)


def _sum(figures: Tensor) -> float:
    return float(figures.detach().cpu().double().sum())


def divisor_of(setup: Setup, batch: Batch) -> int:
    """Return the count that the nats of a step are divided by."""
    by_targets = setup.config.training.normalize_by == "targets"
    # A step of few short documents may have no target, and no gradient.
    return max(1, batch.num_targets if by_targets else batch.num_tokens)


def dropout_seed(seed: int, step: int, micro_batch: int) -> int:
    """Return the framework's seed for one micro-batch."""
    return int(philox("dropout", seed, step, micro_batch).random_raw(1)[0]) >> 1
