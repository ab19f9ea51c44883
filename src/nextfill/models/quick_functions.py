"""Dropout, short attention and GELU of a training step on a CPU, in a third of PyTorch's time.

PyTorch draws a number of its own for each element of a mask of dropout, one after the other on one
processor; here each draw of 64 bits decides four. It computes attention with dropout in float32,
and its kernel for attention without is slow on the way back in bfloat16; here the products are in
the type of the arguments, and each softmax sums in float32 (`attention_parts`). What a mask allows
is found once for all layers. transformers writes GPT-2's GELU out in eight operations, in bfloat16
each rounded by itself and kept for the way back; PyTorch has the same in one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from threading import Lock
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from nextfill.models.attention_parts import (
    Allowed,
    Settings,
    attend,
    attend_in_parts,
    is_long,
)
from nextfill.models.dropout_factors import kept
from nextfill.models.libraries import write_count, written_out_gelus

_SHORT = 512
"""Tokens up to which attention without dropout is quicker in this way, in bfloat16: 15 and 43 ms
both ways with 128 of them, 51 and 77 with 512, 96 and 92 with 1,024 (one processor, 96 heads of
128 tokens, and as many tokens in fewer heads)."""


_lock = Lock()
_inside = 0
"""Contexts of `quick_functions` that are open, in all threads."""

_originals: list[tuple[Any, str, Callable[..., Tensor]]] = []
"""The functions that are replaced while a context is open, by the module or class that has them."""


@contextmanager
def quick_functions(device: torch.device) -> Iterator[None]:
    """Have dropout and attention of a training step computed quickly where it is on a CPU.

    Both passes of a step must lie in the context: with activation checkpointing the one back draws
    once more what the one before has drawn. That is why PyTorch's functions are replaced, for as
    long as any thread is inside: a `TorchFunctionMode` is off during the pass back.
    """
    if device.type != "cpu":
        yield
        return
    _count(1)
    try:
        yield
    finally:
        _count(-1)


def _count(more: int) -> None:
    """Count the open contexts; the first replaces the functions, the last puts them back."""
    global _inside
    with _lock:
        before, _inside = _inside, _inside + more
        if before and _inside:
            return
        if not _inside:
            _allowed.clear()
            while _originals:
                owner, name, original = _originals.pop()
                setattr(owner, name, original)
            return
        for owner, name, replaced in _replacements():
            original = getattr(owner, name)
            _originals.append((owner, name, original))
            setattr(owner, name, _instead(original, replaced))


def _replacements() -> list[tuple[Any, str, Callable[..., Tensor | None]]]:
    found: list[tuple[Any, str, Callable[..., Tensor | None]]] = [
        (functional, "dropout", _dropout),
        (functional, "scaled_dot_product_attention", _attention),
    ]
    return [*found, *((kind, "forward", _gelu) for kind in written_out_gelus())]


def _instead(
    original: Callable[..., Tensor], replaced: Callable[..., Tensor | None]
) -> Callable[..., Tensor]:
    """Return a function that calls the original where the other gives None."""

    @wraps(original)
    def call(*args: Any, **kwargs: Any) -> Tensor:
        found = replaced(*args, **kwargs)
        return original(*args, **kwargs) if found is None else found

    return call


def _dropout(
    input: Tensor,  # noqa: A002 - as PyTorch names it
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,
) -> Tensor | None:
    """Return the input after dropout, None where PyTorch is to do it."""
    if not training or inplace or not _is_drawn(input, p):
        return None
    return input * kept(input.shape, p, input.dtype)


def _attention(  # noqa: PLR0917 - as PyTorch orders them
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    **others: Any,
) -> Tensor | None:
    """Return attention by three products and a softmax, None where PyTorch is to do it."""
    kind = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else query.dtype
    is_learnt = attn_mask is not None and attn_mask.requires_grad  # a bias by distance
    if any(others.values()) or is_learnt or not _is_slow(query, key, dropout_p, kind):
        return None
    if attn_mask is not None and (is_causal or attn_mask.device != query.device):
        return None
    with torch.autocast("cpu", enabled=False):
        query, key, value = (one.to(kind) for one in (query, key, value))
        factor = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
        shape = (*query.shape[:-1], key.shape[-2])
        allowed = _allowed_by(attn_mask, shape, query.dtype, is_causal=is_causal)
        settings = Settings(allowed, factor, dropout_p)
        way = attend_in_parts if is_long(query, key) else attend
        return way(query, key, value, settings)


_allowed: dict[Any, tuple[Tensor | None, Allowed]] = {}
"""The last mask, by its place in memory and the writes to it, kept so that none takes its place."""


def _allowed_by(
    mask: Tensor | None, shape: Sequence[int], kind: torch.dtype, *, is_causal: bool
) -> Allowed:
    """Return what a mask comes to, which most models give to each layer anew."""
    if mask is None and not is_causal:
        return Allowed(None, None)
    name: Any = (kind, tuple(shape[-2:]))
    if mask is not None:
        place = (mask.data_ptr(), mask.shape, mask.stride(), mask.dtype)
        name = (*name, place, None if mask.is_inference() else write_count(mask))
    last = _allowed.get(name)
    if last is not None and (mask is None or not mask.is_inference()):
        return last[1]
    with torch.no_grad():
        given = mask
        if given is None:
            given = torch.ones(*shape[-2:], dtype=torch.bool).tril()
        if given.dtype == torch.bool:
            given = torch.zeros(given.shape, dtype=kind).masked_fill_(~given, -math.inf)
        bias = given.to(kind)
        no_key = (bias == -math.inf).all(dim=-1, keepdim=True)
        found = Allowed(bias, None)
        if bool(no_key.any()):
            found = Allowed(bias.masked_fill(no_key, 0.0), no_key)
    _allowed.clear()
    _allowed[name] = mask, found
    return found


def _gelu(module: nn.Module, input: Tensor) -> Tensor:  # noqa: A002 - as transformers names it
    """Return the tanh approximation of GELU, as transformers writes it out."""
    return functional.gelu(input, approximate="tanh")


def _is_slow(query: Tensor, key: Tensor, dropout_p: float, kind: torch.dtype) -> bool:
    """Tell attention that PyTorch is slower at."""
    if dropout_p:
        return _is_drawn(query, dropout_p)
    is_short = max(query.shape[-2], key.shape[-2]) <= _SHORT
    is_learnt = torch.is_grad_enabled() and query.requires_grad
    return is_short and is_learnt and kind == torch.bfloat16 and query.device.type == "cpu"


def _is_drawn(tensor: Tensor, p: float) -> bool:
    return 0 < p < 1 and tensor.device.type == "cpu" and tensor.is_floating_point()
