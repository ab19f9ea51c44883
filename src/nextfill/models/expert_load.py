"""The load of a mixture's experts: how evenly its routers spread the tokens of a step.

A layer's experts are a module whose forward takes the numbers of the chosen experts, as nearly all
of transformers' mixtures have it. They are counted as they pass, without padding, and counts are
added up over the forward passes of a step before any share is taken of them.

Source: Fedus et al. 2021, Switch Transformers, equation (5), for the share of the tokens of each.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from nextfill.models.computation import to_device
from nextfill.objectives.batch import Batch

LOAD, ENTROPY = "expert_load", "expert_entropy"
"""Figures of each layer, as a step's event has them."""

_CHOICES = ("top_k_index", "router_indices")
"""Names of the argument that holds the chosen experts' numbers, ``[B * T, k] int64``."""

_NUMBERS = ("num_experts", "total_experts")
"""Names of a layer's number of experts; LongCat's is that with the experts that do nothing."""


class ExpertLoad:
    """The tokens that each expert of a model got, layer by layer; without layers, of no mixture."""

    def __init__(self, model: nn.Module) -> None:
        self._layers = [
            (module, *found) for module in model.modules() if (found := _choice_of(module))
        ]
        self._counts: list[Tensor | None] = [None] * len(self._layers)

    @property
    def num_layers(self) -> int:
        """Number of layers whose experts are counted."""
        return len(self._layers)

    def reset(self) -> None:
        """Begin to count anew."""
        self._counts = [None] * len(self._layers)

    @contextmanager
    def counted(self, batch: Batch, device: torch.device) -> Iterator[None]:
        """Count the experts of one forward pass over a batch, on the model's device."""
        if not self._layers:
            yield
            return
        text = batch.document_ids.size, to_device(batch.text_rows, device)
        hooks = [
            module.register_forward_pre_hook(partial(self._count, at, text), with_kwargs=True)
            for at, (module, _, _) in enumerate(self._layers)
        ]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _count(
        self,
        at: int,
        text: tuple[int, Tensor],
        module: nn.Module,
        args: Sequence[Any],
        kwargs: dict[str, Any],
    ) -> None:
        _, (index, name), number = self._layers[at]
        positions, rows = text
        chosen = kwargs[name] if name in kwargs else args[index]
        if chosen.numel() % positions == 0:  # a row for each position
            chosen = chosen.detach().reshape(positions, -1)[rows]
        # The number behind the last is no expert. What a GPU counts by itself makes it wait.
        chosen = chosen.flatten().long().clamp(max=number)
        counts = chosen.new_zeros(number + 1).scatter_add_(0, chosen, torch.ones_like(chosen))
        counts = counts[:number]
        before = self._counts[at]
        self._counts[at] = counts if before is None else before + counts

    @property
    def on_device(self) -> list[Tensor]:
        """The tokens that each expert got since the count began, by layer, ``[E] int64``."""
        return [one for one in self._counts if one is not None]

    @property
    def all_counts(self) -> list[Tensor]:
        """The same, with zeros for a layer that no text has passed since."""
        numbers = [number for _, _, number in self._layers]
        return [
            torch.zeros(number, dtype=torch.int64) if one is None else one
            for one, number in zip(self._counts, numbers, strict=True)
        ]

    @property
    def counts(self) -> list[list[int]]:
        """The tokens that each expert got since the count began, by layer."""
        return [one.tolist() for one in self.on_device]

    def figures(self) -> dict[str, list[float]]:
        """Return the figures of the count by layer."""
        return load_figures(self.counts)


def load_figures(counts: Sequence[Sequence[int]]) -> dict[str, list[float]]:
    """Return the figures of counts by layer, nothing for a model of no experts.

    Returns:
        ``expert_load``, the tokens of the busiest expert over an even share, and
        ``expert_entropy``, that of the shares, in nats.
    """
    if not counts:
        return {}
    return {
        LOAD: [load_of(one) for one in counts],
        ENTROPY: [entropy_of(one) for one in counts],
    }


def _choice_of(module: nn.Module) -> tuple[tuple[int, str], int] | None:
    """Return the place and name of the argument with the chosen experts, and their number."""
    number = next((n for name in _NUMBERS if isinstance(n := getattr(module, name, None), int)), 0)
    if number < 1:
        return None
    for place, name in enumerate(inspect.signature(module.forward).parameters):
        if name in _CHOICES:
            return (place, name), number
    return None


def load_of(counts: Sequence[int]) -> float:
    """Return the largest of some counts over their mean, 1 where all are equal.

    Example:
        >>> load_of([30, 10, 10, 10])
        2.0
    """
    return max(counts) * len(counts) / max(1, sum(counts))


def entropy_of(counts: Sequence[int]) -> float:
    """Return the entropy of some counts' shares in nats, ln of their number where all are equal.

    Example:
        >>> round(entropy_of([5, 5, 0, 0]), 4)
        0.6931
    """
    total = max(1, sum(counts))
    return math.fsum(-n / total * math.log(n / total) for n in counts if n)
