"""Adapters that begin as the main directions of what their layers see of the first steps' text."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from nextfill.models.adapters.adapter_initialization import (
    adapted_layers,
    begin_as_directions,
    rank_of,
)
from nextfill.models.computation import autocast, in_mode
from nextfill.models.step import to_tensors
from nextfill.objectives.batch import Batch
from nextfill.training.setup import Setup

_STEPS = 8
"""Steps whose text is looked at."""


class MainDirections:
    """The main directions of rows that come batch after batch, about their mean.

    Args:
        count: Directions to find.

    Source:
        Ross et al. 2008, Incremental Learning for Robust Visual Tracking, section 2.1.1.
    """

    def __init__(self, count: int) -> None:
        self._count, self._seen = count, 0
        self._mean = self._scaled = torch.empty(0)

    def add(self, rows: Tensor) -> None:
        """Take in a batch, ``[N, D]``."""
        mean, number = rows.mean(dim=0), len(rows)
        parts, total = [rows - mean], self._seen + number
        if self._seen:
            apart = (self._seen * number / total) ** 0.5 * (self._mean - mean)
            parts = [self._scaled, *parts, apart[None]]
            mean = (self._seen * self._mean + number * mean) / total
        _, values, directions = torch.linalg.svd(torch.cat(parts), full_matrices=False)
        self._scaled = (values[:, None] * directions)[: self._count]
        self._mean, self._seen = mean, total

    def directions(self) -> Tensor:
        """Return them as rows of length one, the main one first; fewer where there are no more."""
        lengths = self._scaled.norm(dim=1, keepdim=True)
        noise = torch.finfo(lengths.dtype).eps * max(self._seen, len(self._mean))
        there = lengths[:, 0] > lengths.max() * noise
        found: Tensor = (self._scaled / lengths)[there]
        return found


@torch.no_grad()
def begin_from_inputs(setup: Setup) -> None:
    """Have each layer's adapter begin as the main directions of its inputs over the first steps.

    Every call on a run finds the same, whatever steps it has taken.

    Source:
        Paischer et al. 2024, Parameter Efficient Fine-tuning via Explained Variance Adaptation; as
        PEFT computes it, but of as many directions in each layer.
    """
    layers = dict(adapted_layers(setup.loaded.model))
    found = {name: MainDirections(rank_of(layer)) for name, layer in layers.items()}
    training, device = setup.config.training, setup.loaded.device
    with in_mode(setup.module, training=False):
        for batch in _first_batches(setup):
            size = training.micro_batch_size or training.batch_size
            for start in range(0, len(batch.input_ids), size):
                tensors = to_tensors(batch.rows(start, start + size), device)
                with (
                    _inputs_kept(layers, tensors[3] >= 0) as kept,
                    autocast(device, setup.config.precision),
                ):
                    setup.module(*tensors)
                for name, rows in kept:
                    found[name].add(rows)
    for name, layer in layers.items():
        begin_as_directions(layer, found[name].directions())


def _first_batches(setup: Setup) -> Iterator[Batch]:
    feed = setup.feed
    for step in range(min(_STEPS, setup.num_steps)):
        if feed.covers(step):  # of a stream, what is read already
            batch = feed.batch(step, feed.numbers(step), 0.0)
            if batch.num_targets:
                yield batch


@contextmanager
def _inputs_kept(layers: dict[str, Any], is_text: Tensor) -> Iterator[list[tuple[str, Tensor]]]:
    """Keep the inputs of layers, row by row and without padding, over a forward pass."""
    kept: list[tuple[str, Tensor]] = []

    def keep(name: str) -> Any:
        def hook(module: Any, args: tuple[Any, ...]) -> None:
            rows = args[0]
            rows = rows[is_text] if rows.shape[:-1] == is_text.shape else rows.flatten(0, -2)
            kept.append((name, rows.float()))

        return hook

    handles = [layer.register_forward_pre_hook(keep(name)) for name, layer in layers.items()]
    try:
        yield kept
    finally:
        for handle in handles:
            handle.remove()
