"""The figures of a step on their way from its device: sums of losses, counts and the norm.

On a CPU they are there at once. A GPU is told to copy them behind what it computes, into memory
that it writes by itself, so that the host reads a step's figures while the next one runs, and no
step waits for the one before it to be told.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from nextfill.models.expert_load import load_figures
from nextfill.models.loss import LossSum

Event = dict[str, Any]

ReadStep = Callable[[], tuple[Event, Event]]
"""Waits for the figures of a step and returns its event and its timing."""


def sum_of(figures: Tensor) -> Tensor:
    """Return the sum of figures, ``[] float64``, on their device where that has such numbers."""
    figures = figures.detach()
    return (figures.cpu() if figures.device.type == "mps" else figures).double().sum()


class FigureCopy:
    """A copy of some tensors for the host, begun now and waited for when it is read."""

    def __init__(self, figures: Sequence[Tensor]) -> None:
        self._figures = [one.detach() for one in figures]
        self._ready: torch.cuda.Event | None = None
        if figures and figures[0].device.type == "cuda":
            self._sizes = [one.numel() for one in figures]
            # Counts of tokens are whole in float64.
            joined = torch.cat([one.flatten().double() for one in self._figures])
            self._host = torch.empty(len(joined), dtype=joined.dtype, pin_memory=True)
            self._host.copy_(joined, non_blocking=True)
            self._ready = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._ready.record()

    def read(self) -> list[list[float]]:
        """Wait for the figures and return those of each tensor."""
        if self._ready is None:
            return [one.flatten().tolist() for one in self._figures]
        self._ready.synchronize()  # for the copy alone, not for the step behind it
        return [part.tolist() for part in self._host.split(self._sizes)]  # type: ignore[no-untyped-call]


@dataclass(frozen=True)
class StepLosses:
    """The losses of a step, on its device.

    Args:
        nats: The sum of each micro-batch, ``[] float64``.
        targets: Targets of the step.
        divisor: The count that the gradient was divided by.
        others: Further losses by name: the parts, ``[]``, and what each is divided by.
        counts: The tokens that each expert got, by layer, ``[E] int64``.
    """

    nats: Sequence[Tensor]
    targets: int
    divisor: int
    others: Mapping[str, tuple[Sequence[Tensor], int]]
    counts: Sequence[Tensor]

    def read(self) -> tuple[LossSum, int, dict[str, float | list[float]]]:
        """Wait for the losses.

        Returns:
            The loss in nats, the count that the gradient was divided by, and further figures: what
            the router's loss adds to their quotient, the load of its experts by layer, and the
            distance from a teacher, divided by that count and before it has its share; none where
            there is none.
        """
        loss, others, _ = self.copied()()
        return loss, self.divisor, others

    def copied(
        self, *more: Tensor
    ) -> Callable[[], tuple[LossSum, dict[str, float | list[float]], list[float]]]:
        """Begin the copy of the losses, and of more figures, ``[]``; return what reads them."""
        parts = [*self.nats, *(one for some, _ in self.others.values() for one in some)]
        copy = FigureCopy([*parts, *more, *self.counts])

        def read() -> tuple[LossSum, dict[str, float | list[float]], list[float]]:
            read = copy.read()
            singles = iter([one for (one,) in read[: len(parts) + len(more)]])
            nats = 0.0
            for _ in self.nats:
                nats += next(singles)
            losses: dict[str, float | list[float]] = {
                name: math.fsum([next(singles) / divisor for _ in some])
                for name, (some, divisor) in self.others.items()
            }
            counts = [[round(n) for n in one] for one in read[len(parts) + len(more) :]]
            others = {**losses, **load_figures(counts)}
            return LossSum(nats, self.targets), others, list(singles)

        return read


class StepClock:
    """The time of a step: of the host, or of a GPU from its first operation to its last."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._started, self._ended = time.perf_counter(), 0.0
        self._events: list[torch.cuda.Event] = []
        self._mark()

    def _mark(self) -> None:
        if self._device.type == "cuda":
            event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
            event.record()
            self._events.append(event)

    def stop(self) -> None:
        """End the time."""
        self._ended = time.perf_counter()
        self._mark()

    @property
    def elapsed_s(self) -> float:
        """Seconds, for which a GPU has to be done with the step."""
        if not self._events:
            return self._ended - self._started
        first, last = self._events
        last.synchronize()
        return float(first.elapsed_time(last)) / 1000
