"""Attention of a training step on a CPU by its products, for long rows part by part.

The shares of attention grow with the square of a row: 25 million numbers a layer for 2 rows of
1,024 tokens and 12 heads, which a step keeps three times over with dropout, as shares, as factors
and as their product. In parts a step keeps the query, the key, the value, and the state of the
generator: on the way back each part is computed, and drawn, once more.

Source: Dao et al. 2022, FlashAttention (arXiv:2205.14135), section 3.1, for computing shares anew
on the way back from the generator's state.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from nextfill.models.dropout_factors import kept

_WHOLE = 1 << 24
"""Shares up to which a layer keeps them all, at most 6 bytes each in bfloat16: computed twice, 8
rows of 256 tokens take 1.05 times as long, and the attention's share of a step grows from there."""

_AT_ONCE = 1 << 22
"""Shares of a part, where that is not less than one head's; smaller parts are slower."""


class Allowed(NamedTuple):
    """What a mask comes to: summands of the scores, and the rows that may look nowhere if any."""

    bias: Tensor | None
    no_key: Tensor | None


class Settings(NamedTuple):
    """How attention is computed.

    Args:
        allowed: What the mask comes to.
        factor: That of the scores.
        p: The share of the shares to drop.
    """

    allowed: Allowed
    factor: float
    p: float


def is_long(query: Tensor, key: Tensor) -> bool:
    """Return whether there are so many shares that they are better computed twice than kept."""
    shares = query.shape[:-1].numel() * key.shape[-2]
    return query.dim() == 4 and query.shape[:2] == key.shape[:2] and shares > _WHOLE


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    settings: Settings,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Compute attention by its products and a softmax.

    Args:
        query: ``[..., T, D]``.
        key: ``[..., S, D]``.
        value: ``[..., S, E]``.
        settings: How it is computed.
        generator: What draws these, by default PyTorch's own generator.

    Returns:
        ``[..., T, E]``.
    """
    allowed, factor, p = settings
    scores = (query * factor) @ key.transpose(-2, -1)
    if allowed.bias is not None:
        scores = scores.add_(allowed.bias)
    shares = scores.softmax(dim=-1)
    if allowed.no_key is not None:  # as of padding, which then attends to nothing
        shares = shares.masked_fill(allowed.no_key, 0.0)
    if p:
        shares = shares * kept(shares.shape, p, shares.dtype, generator)
    return shares @ value


def attend_in_parts(query: Tensor, key: Tensor, value: Tensor, settings: Settings) -> Tensor:
    """Compute the same part by part, and once more on the way back.

    Args:
        query: ``[B, H, T, D]``.
        key: ``[B, H, S, D]``.
        value: ``[B, H, S, E]``.
        settings: How it is computed.

    Returns:
        ``[B, H, T, E]``.

    Example:
        >>> query = torch.ones(1, 2, 3, 4)
        >>> value = torch.arange(6.0).view(1, 2, 3, 1)
        >>> plain = Settings(Allowed(None, None), factor=0.5, p=0.0)
        >>> attend_in_parts(query, query, value, plain).flatten().tolist()
        [1.0, 1.0, 1.0, 4.0, 4.0, 4.0]
    """
    found: Tensor = _InParts.apply(query, key, value, settings)  # type: ignore[no-untyped-call]
    return found


class _InParts(torch.autograd.Function):
    """Attention that keeps what it is given, and nothing of what it computes from that."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, settings: Settings) -> Tensor:
        ctx.save_for_backward(query, key, value)
        ctx.settings, ctx.state = settings, torch.get_rng_state() if settings.p else None
        found = _heads_last(query, value.shape[-1])
        for part in _parts(query, key):
            own = _of_part(settings, query, key, part)
            found[part] = attend(query[part], key[part], value[part], own)
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value = given = ctx.saved_tensors
        generator = None
        if ctx.state is not None:
            generator = torch.Generator()
            generator.set_state(ctx.state)
        found = [_heads_last(one, one.shape[-1]) for one in given]
        for part in _parts(query, key):
            settings = _of_part(ctx.settings, query, key, part)
            with torch.enable_grad(), torch.autocast("cpu", enabled=False):
                some = [one[part].detach().requires_grad_() for one in (query, key, value)]
                answer = attend(some[0], some[1], some[2], settings, generator)
                gradients = torch.autograd.grad(answer, some, gradient[part])
            for into, one in zip(found, gradients, strict=True):
                into[part] = one
        return (*found, None)


def _heads_last(like: Tensor, width: int) -> Tensor:
    """Return room for ``[B, H, T, E]`` that lies in memory as models have it before and after."""
    rows, heads, length, _ = like.shape
    return like.new_empty(rows, length, heads, width).transpose(1, 2)


def _parts(query: Tensor, key: Tensor) -> Iterator[tuple[slice, slice]]:
    """Yield the rows and heads of each part, in the order of memory."""
    rows, heads, length, _ = query.shape
    each = length * key.shape[-2]
    of_row = min(heads, max(1, _AT_ONCE // each))
    at_once = max(1, _AT_ONCE // (each * heads))
    for row in range(0, rows, at_once):
        for head in range(0, heads, of_row):
            yield slice(row, row + at_once), slice(head, head + of_row)


def _of_part(settings: Settings, query: Tensor, key: Tensor, part: tuple[slice, slice]) -> Settings:
    """Return how a part is computed: by its part of the mask."""
    shape = (*query.shape[:-1], key.shape[-2])
    bias, no_key = settings.allowed
    allowed = Allowed(
        None if bias is None else bias.expand(shape)[part],
        None if no_key is None else no_key.expand(*shape[:-1], 1)[part],
    )
    return settings._replace(allowed=allowed)
