"""What the ranks computed of a step, put together: its losses as one process would have them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from nextfill.objectives.batch import Batch
from nextfill.training.gradients import DISTILLATION, ROUTER, micro_batches
from nextfill.training.setup import Setup
from nextfill.training.step_figures import StepLosses

_OTHERS = (ROUTER, DISTILLATION)


def sum_step(setup: Setup, batch: Batch, losses: StepLosses) -> StepLosses:
    """Give every rank the gradients and the losses of all micro-batches of a step.

    Losses stay apart by micro-batch until they are read, so that they are added in the order of one
    process.
    """
    ranks = setup.ranks
    if ranks.world == 1:
        return losses
    ranks.sum_gradients(setup.module)
    numbers = [number for number, _ in micro_batches(setup, batch)]
    own = [at for at, number in enumerate(numbers) if ranks.takes(number)]
    load = setup.module.expert_load
    sizes = [len(one) for one in load.all_counts]
    size = len(numbers)
    figures = torch.zeros(
        (1 + len(_OTHERS)) * size + len(_OTHERS) + sum(sizes),
        dtype=torch.float64,
        device=setup.loaded.device,
    )
    held = _parted(figures, size, sizes)
    _place(held[0], own, losses.nats)
    for at, name in enumerate(_OTHERS, start=1):
        parts, _ = losses.others.get(name, ([], 1))
        _place(held[at], own if parts else [], parts)
        held[at + len(_OTHERS)].fill_(float(bool(parts)))
    for place, count in zip(held[1 + 2 * len(_OTHERS) :], load.all_counts, strict=True):
        place.copy_(count)
    summed = ranks.sum_figures(figures)
    nats, *rest = _parted(summed, size, sizes)
    some = rest[len(_OTHERS) : 2 * len(_OTHERS)]
    divisors = {ROUTER: 1, DISTILLATION: losses.divisor}
    others = {
        name: (list(rest[at].unbind()), divisors[name])
        for at, name in enumerate(_OTHERS)
        # A GPU would wait for a number: it is read where there may be such a loss alone.
        if (setup.teacher or setup.module.asks_for_router) and float(some[at])
    }
    counts = [one.round().long() for one in rest[2 * len(_OTHERS) :]]
    return replace(
        losses,
        nats=list(nats.unbind()),
        targets=batch.num_targets,
        others=others,
        counts=[one for one in counts if bool(one.any())],
    )


def _parted(figures: Tensor, size: int, sizes: Sequence[int]) -> tuple[Tensor, ...]:
    """Return nats, other losses, whether there are such, and counts, as views of all figures."""
    more = len(_OTHERS)
    return torch.split(figures, [size, *[size] * more, *[1] * more, *sizes])


def _place(held: Tensor, places: Sequence[int], figures: Sequence[Tensor]) -> None:
    """Put figures of single micro-batches, ``[]``, at their places."""
    if places:
        held[torch.tensor(places, device=held.device)] = torch.stack(
            [one.detach().double() for one in figures]
        )
