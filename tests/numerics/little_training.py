"""Adapters of tiny models moved by a few large steps, and the logits before and after."""

from __future__ import annotations

import torch
from torch import nn

from nextfill.models.loaded_model import LoadedModel

IDS = torch.arange(5, 53).reshape(3, 16)
"""Three rows of tokens, none of them a special one."""


def logits(model: nn.Module) -> torch.Tensor:
    """Return the logits of the rows."""
    with torch.no_grad():
        return model(input_ids=IDS).logits  # type: ignore[no-any-return]


def distance(one: torch.Tensor, other: torch.Tensor) -> float:
    """Return the largest difference as a share of the other's largest value."""
    return float((one - other).abs().max() / other.abs().max())


def train_a_little(loaded: LoadedModel) -> None:
    """Move what is trained by a few large steps."""
    trained = [p for p in loaded.model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-2)
    for _ in range(3):
        loaded.model(input_ids=IDS, labels=IDS).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
