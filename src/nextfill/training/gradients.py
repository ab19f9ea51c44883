"""The gradients of a step, added up over its micro-batches, and the losses that they are of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from typing import NamedTuple

import torch
from torch import Tensor

from nextfill.data.packing.order import philox
from nextfill.models.computation import autocast, to_device
from nextfill.models.distillation import target_logits
from nextfill.models.quick_functions import quick_functions
from nextfill.models.step import to_tensors
from nextfill.objectives.batch import Batch
from nextfill.training.setup import Setup
from nextfill.training.step_figures import StepLosses, sum_of

ROUTER, DISTILLATION = "router_loss", "distillation_loss"
"""Losses beside the text's, as a step's event has them."""


class SentPart(NamedTuple):
    """A micro-batch on its way to the device.

    Args:
        number: That of it in the step.
        batch: Its rows on the host.
        tensors: The same on the device.
        counts: Whether its gradient does; else the pass is for the sake of other ranks.
        is_last: Whether it is the last of this rank in the step.
    """

    number: int
    batch: Batch
    tensors: tuple[Tensor, Tensor, Tensor, Tensor]
    counts: bool = True
    is_last: bool = False


def sent_parts(setup: Setup, batch: Batch) -> Iterator[SentPart]:
    """Yield this rank's micro-batches of a step, each sent as it is asked for."""
    micros = dict(micro_batches(setup, batch))
    taken = setup.ranks.takes_of([*micros])
    for at, (number, counts) in enumerate(taken, start=1):
        tensors = to_tensors(micros[number], setup.loaded.device)
        yield SentPart(number, micros[number], tensors, counts, is_last=at == len(taken))


def micro_batches(setup: Setup, batch: Batch) -> Iterator[tuple[int, Batch]]:
    """Yield the micro-batches of a step that have a target, with their numbers."""
    training = setup.config.training
    size = training.micro_batch_size or training.batch_size
    for number, start in enumerate(range(0, len(batch.input_ids), size)):
        micro = batch.rows(start, start + size)
        if micro.num_targets:  # by chance none is masked
            yield number, micro


def accumulate_gradients(
    setup: Setup, batch: Batch, step: int, parts: Iterable[SentPart] | None = None
) -> StepLosses:
    """Run one step's micro-batches forward and backward, without waiting for their device.

    A mixture's router has a loss of its own over each micro-batch. It has the weight that the nats
    of the micro-batch have in the step, its share of the targets, so that the step's loss is a mean
    of what transformers' would be, whatever the rows of a micro-batch hold. The micro-batches may
    be sent already.
    """
    training, device, module = setup.config.training, setup.loaded.device, setup.module
    divisor = divisor_of(setup, batch)
    nats_of_parts, targets = list[Tensor](), 0
    others = dict[str, tuple[list[Tensor], int]]()
    module.train()
    module.expert_load.reset()
    # What is compiled is quick by itself.
    with nullcontext() if training.compile else quick_functions(device):
        for one in sent_parts(setup, batch) if parts is None else parts:
            number, micro, tensors = one.number, one.batch, one.tensors
            setup.ranks.before_pass(module, is_last=one.is_last)
            taught = _taught(setup, micro, tensors)
            # Dropout is a function of the place in the run, not of what ran before it.
            torch.manual_seed(dropout_seed(setup.config.seed, step, number))
            with module.in_training():
                with autocast(device, setup.config.precision):
                    if setup.teacher is None or taught is None:
                        nats, router = module(*tensors, with_router=True, host=micro)
                        part = nats.sum() / divisor
                    else:
                        logits, router = module(
                            *tensors, target_logits, with_router=True, host=micro
                        )
                        ids = to_device(micro.labels.ravel()[micro.target_rows], device)
                        nats, distances = setup.teacher.losses(logits, taught, ids)
                        part = setup.teacher.weighted_sum(nats, distances) / divisor
                        distance = sum_of(distances)
                        if one.counts:
                            others.setdefault(DISTILLATION, ([], divisor))[0].append(distance)
                if not one.counts:
                    (part * 0.0).backward()
                    continue
                if router is not None:
                    router = router * (micro.num_targets / batch.num_targets)
                    others.setdefault(ROUTER, ([], 1))[0].append(router.detach())
                    part = part + router
                part.backward()
            nats_of_parts.append(sum_of(nats))
            targets += nats.numel()
    return StepLosses(nats_of_parts, targets, divisor, others, module.expert_load.on_device)


def _taught(setup: Setup, micro: Batch, tensors: tuple[Tensor, ...]) -> Tensor | None:
    """Return the logits of the teacher, None where there is none."""
    if setup.teacher is None:
        return None
    with autocast(setup.loaded.device, setup.config.precision):
        return setup.teacher.logits(*tensors, host=micro)


def divisor_of(setup: Setup, batch: Batch) -> int:
    """Return the count that the nats of a step are divided by."""
    by_targets = setup.config.training.normalize_by == "targets"
    # A step of few short documents may have no target, and no gradient.
    return max(1, batch.num_targets if by_targets else batch.num_tokens)


def dropout_seed(seed: int, step: int, micro_batch: int) -> int:
    """Return the framework's seed for one micro-batch."""
    return int(philox("dropout", seed, step, micro_batch).random_raw(1)[0]) >> 1
