"""The mask that keeps the documents packed into one row from seeing one another."""

from __future__ import annotations

import torch
from torch import Tensor


def block_diagonal_mask(
    document_ids: Tensor, *, causal: bool = True, window: int | None = None
) -> Tensor:
    """Return the additive mask within documents, ``[B, 1, T, T] float32``.

    It is 0 where a position may look, the least float elsewhere: in its own document by the ids,
    ``[B, T] int64``, back only if causal, and within a window of tokens to either side.
    """
    allowed = document_ids[:, :, None] == document_ids[:, None, :]
    if causal:
        allowed = allowed.tril()
    if window is not None:
        allowed = allowed.triu(-window).tril(window)
    mask = torch.zeros(allowed.shape, dtype=torch.float32, device=document_ids.device)
    return mask.masked_fill_(~allowed, torch.finfo(torch.float32).min)[:, None]
