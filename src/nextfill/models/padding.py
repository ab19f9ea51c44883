"""Which prompts may share a batch, so that none of them changes what another is answered.

Rows of different lengths are padded at the left, and a mask says what is padding. Whether a model
heeds it is found by trying, with the very loop that generates:

- ``padded``: rows of any lengths give the logits that each gives alone;
- ``equal``: only rows of one length do (recurrent models that run over the padding);
- ``alone``: not even those (models that mix up the states they keep between tokens).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from nextfill.models.architecture import embedding_rows
from nextfill.models.incremental import Feed
from nextfill.models.probes import REFUSALS

Batching = Literal["padded", "equal", "alone"]

_TOLERANCE = 1e-4
"""Largest difference of a logit, relative to the largest logit, that still counts as equal."""

_LENGTHS: dict[Batching, tuple[int, ...]] = {"padded": (8, 3, 5), "equal": (5, 5)}
_STEPS = 2


def pad_left(rows: Sequence[Sequence[int]], pad_id: int) -> tuple[Tensor, Tensor]:
    """Put rows of token ids into one tensor, each at its right end.

    Args:
        rows: Token ids, at least one in each.
        pad_id: Fills the left.

    Returns:
        The ids and the mask, 0 on padding, each ``[B, T] int64``.

    Example:
        >>> pad_left([[5, 6], [7]], pad_id=0)[0].tolist()
        [[5, 6], [0, 7]]
    """
    width = max(len(row) for row in rows)
    ids = [[pad_id] * (width - len(row)) + list(row) for row in rows]
    mask = [[0] * (width - len(row)) + [1] * len(row) for row in rows]
    return torch.tensor(ids, dtype=torch.long), torch.tensor(mask, dtype=torch.long)


@torch.no_grad()
def probe_batching(model: nn.Module, pad_id: int, feed: Feed) -> Batching:
    """Find which rows may be generated together.

    Args:
        model: A causal model in float32 and evaluation mode.
        pad_id: The id that fills short rows.
        feed: How the model is given a text that grows.

    Returns:
        The freest way in which every row has the logits that it has alone.
    """
    for way, lengths in _LENGTHS.items():
        try:
            if _same_as_alone(model, lengths, pad_id, feed):
                return way
        except REFUSALS:
            continue  # the model does not take such a batch at all
    return "alone"


def _same_as_alone(model: nn.Module, lengths: tuple[int, ...], pad_id: int, feed: Feed) -> bool:
    vocabulary = embedding_rows(model)
    generator = torch.Generator().manual_seed(0)
    rows = [torch.randint(0, vocabulary, (n,), generator=generator).tolist() for n in lengths]
    together = _logits(model, rows, pad_id, feed)
    alone = torch.cat([_logits(model, [row], pad_id, feed) for row in rows], dim=1)
    difference = (together - alone).abs().max()
    return bool(difference <= _TOLERANCE * alone.abs().max().clamp(min=1e-3))


def _logits(model: nn.Module, rows: list[list[int]], pad_id: int, feed: Feed) -> Tensor:
    """Return the logits of a few greedy steps, ``[steps, B, V]``."""
    ids, mask = pad_left(rows, pad_id)
    return torch.stack(feed.greedy(model, ids, mask, pad_id, _STEPS).logits)
