"""A model as a function of token ids and a mask alone, which is the form that is exported."""

from __future__ import annotations

import inspect
from typing import Any, cast

import torch
from torch import Tensor, nn

from nextfill.models.architecture import first_position
from nextfill.models.loaded_model import LoadedModel


class TextLogits(nn.Module):
    """The logits of texts that are padded at their ends.

    Args:
        loaded: A model without an adapter, on the CPU.
    """

    def __init__(self, loaded: LoadedModel) -> None:
        super().__init__()
        self.model = loaded.model
        self.first = first_position(loaded.model)
        takes = inspect.signature(loaded.model.forward).parameters
        self.keywords: dict[str, Any] = {"use_cache": False} if "use_cache" in takes else {}
        self.takes_positions = self.first > 0 and "position_ids" in takes

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return the logits.

        Args:
            input_ids: ``[B, T] int64``.
            attention_mask: ``[B, T] int64``, 0 at padding.

        Returns:
            ``[B, T, V] float32``.
        """
        more = dict(self.keywords)
        if self.takes_positions:  # its own count goes by the pad token, which a text may begin with
            more["position_ids"] = attention_mask.cumsum(1) * attention_mask + self.first - 1
        result = self.model(input_ids=input_ids, attention_mask=attention_mask, **more)
        return cast(Tensor, result.logits)


def padded(rows: list[list[int]], pad_id: int) -> tuple[Tensor, Tensor]:
    """Return rows of ids as one tensor, padded at their ends, and its mask, ``[B, T] int64``."""
    length = max(map(len, rows))
    ids = torch.full((len(rows), length), pad_id)
    mask = torch.zeros_like(ids)
    for at, row in enumerate(rows):
        ids[at, : len(row)] = torch.tensor(row)
        mask[at, : len(row)] = 1
    return ids, mask
