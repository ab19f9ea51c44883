"""Keep the documents packed into one row from seeing one another.

Which means works depends on the model, so it is found by trying: two documents in one row must
give the logits that each gives alone. Tried in turn, cheapest first:

- ``positions``: position ids that restart with each document. transformers then builds a mask that
  keeps them apart, but only with ``use_cache=False`` and without an attention mask; with its
  defaults it leaks without a word.
- ``mask``: an explicit block-diagonal causal mask ``[B, 1, T, T]`` beside those position ids.
- ``pad``: neither works (state-space models, ALiBi), so every row holds one document only.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn

from nextfill.models.shape import embedding_rows

Isolation = Literal["positions", "mask", "pad", "none"]

_TOLERANCE = 1e-4
"""Largest difference of a logit, relative to the largest logit, that still counts as equal."""


def model_inputs(
    isolation: Isolation, input_ids: Tensor, position_ids: Tensor, document_ids: Tensor
) -> dict[str, Any]:
    """Return the keyword arguments that keep packed documents apart.

    Args:
        isolation: What this model needs.
        input_ids: ``[B, T] int64``.
        position_ids: ``[B, T] int64``, restarting with each document.
        document_ids: ``[B, T] int64``, -1 on padding.

    Returns:
        Arguments for the model's forward. Padding stands at the right, where causal attention
        cannot reach it from a target, so ``pad`` and ``none`` need no mask.
    """
    inputs: dict[str, Any] = {"input_ids": input_ids, "use_cache": False}
    if isolation == "positions":
        inputs["position_ids"] = position_ids
    elif isolation == "mask":
        inputs["position_ids"] = position_ids
        inputs["attention_mask"] = block_diagonal_mask(document_ids)
    return inputs


def block_diagonal_mask(document_ids: Tensor) -> Tensor:
    """Return the additive causal mask within documents.

    Args:
        document_ids: ``[B, T] int64``.

    Returns:
        ``[B, 1, T, T] float32``: 0 where a position may look, the least float elsewhere.
    """
    same = document_ids[:, :, None] == document_ids[:, None, :]
    allowed = same.tril()
    mask = torch.zeros(allowed.shape, dtype=torch.float32, device=document_ids.device)
    return mask.masked_fill_(~allowed, torch.finfo(torch.float32).min)[:, None]


@torch.no_grad()
def probe_isolation(model: nn.Module) -> Isolation:
    """Find what keeps packed documents apart in this model.

    Args:
        model: A causal model in float32; it is put into evaluation mode for the probe.

    Returns:
        The cheapest means that gives every document the logits it has alone.
    """
    was_training = model.training
    model.eval()
    try:
        for isolation in ("positions", "mask"):
            try:
                if _isolates(model, isolation):
                    return isolation
            except (TypeError, ValueError, RuntimeError, IndexError):
                continue  # the model does not take these arguments at all
        return "pad"
    finally:
        model.train(was_training)


def _isolates(model: nn.Module, isolation: Isolation) -> bool:
    device = next(model.parameters()).device
    vocabulary = embedding_rows(model)
    generator = torch.Generator().manual_seed(0)
    lengths = (7, 5)
    documents = [torch.randint(0, vocabulary, (1, n), generator=generator) for n in lengths]
    packed = torch.cat(documents, dim=1).to(device)
    positions = torch.cat([torch.arange(n) for n in lengths])[None].to(device)
    numbers = torch.cat([torch.full((n,), i) for i, n in enumerate(lengths)])[None].to(device)
    together = model(**model_inputs(isolation, packed, positions, numbers)).logits
    alone = [model(input_ids=document.to(device), use_cache=False).logits for document in documents]
    difference = (together - torch.cat(alone, dim=1)).abs().max()
    return bool(difference <= _TOLERANCE * together.abs().max().clamp(min=1e-3))
