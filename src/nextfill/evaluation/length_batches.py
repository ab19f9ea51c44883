"""Read something off the logits of every target, rows of like length together."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from nextfill.config import Precision
from nextfill.data.packing.block_reader import NO_TARGET
from nextfill.models.architecture import embedding_rows
from nextfill.models.computation import autocast
from nextfill.models.loss import Read
from nextfill.models.step import StepModule, to_tensors
from nextfill.objectives.scored_rows import ScoredRows

MOST_LOGITS = 2**27
"""Logits of one forward pass: half a gigabyte in float32, whatever the batch size asked for."""


@torch.no_grad()
def read_rows(
    module: StepModule,
    rows: ScoredRows,
    read: Read,
    *,
    batch_size: int,
    device: torch.device,
    precision: Precision,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Read something off the logits of every target, rows of like length together.

    Args:
        module: The step module around the model.
        rows: The rows.
        read: What is read.
        batch_size: Rows per forward pass at most.
        device: Where to compute.
        precision: ``fp32`` or ``bf16``.
        on_progress: Told of rows scored, and of how many there are.

    Returns:
        Of each target its document and its place there, ``[N] int64``, and what was read, ``[N, C]
        float32``, row by row.
    """
    total, done = len(rows.document), 0
    was_training = module.training
    module.eval()
    heads = rows.targets if module.gathers else rows.length
    most = MOST_LOGITS // embedding_rows(module.model)
    found: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]] = []
    for numbers in _batches_by_length(rows.length, heads, batch_size, most):
        batch = rows.batch(numbers)
        row, column = np.nonzero(batch.labels != NO_TARGET)
        if len(row):  # of a few masked words, by chance, perhaps none
            with autocast(device, precision):
                scored = module(*to_tensors(batch, device), read).float().cpu().numpy()
            found.append((numbers[row], rows.place[numbers[row]] + column, scored))
        done += len(numbers)
        on_progress(done, total)
    module.train(was_training)
    if not found:
        nothing = np.empty(0, np.int64)
        return nothing, nothing, nothing.astype(np.float32)
    row, place, scored = (np.concatenate(part) for part in zip(*found, strict=True))
    order = np.argsort(row, kind="stable")
    return rows.document[row[order]], place[order], scored[order]


def _batches_by_length(
    lengths: NDArray[np.int64], heads: NDArray[np.int64], batch_size: int, most_heads: int
) -> Iterator[NDArray[np.int64]]:
    """Yield row numbers in batches, longest first, so that little is padded.

    Args:
        lengths: Positions of each row, ``[R] int64``.
        heads: Positions that the head is applied to; the most of them in the longest row.
        batch_size: Rows of a batch at most.
        most_heads: Such positions of a batch at most.
    """
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        fitting = most_heads // int(heads[order[start]])
        stop = start + max(1, min(batch_size, fitting))
        yield order[start:stop]
        start = stop
