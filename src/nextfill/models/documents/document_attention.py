"""Attention over the documents of a batch one by one, without a mask of their rows.

A dense mask costs the square of a row's length, and keeps a GPU from its flash kernels. Here the
rows of a batch are one long row, whose documents begin at known places: PyTorch's kernel for texts
of various lengths takes them so, in 16 bits on a GPU; elsewhere each document is computed alone.
It stands among transformers' implementations of attention, for models that ask there, and is in use
for the time of a step: a model's configuration stays as it was.

Source: Dao 2023, FlashAttention-2 (arXiv:2307.08691), and its entry for texts of various lengths,
which `torch.nn.attention.varlen` is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from transformers import AttentionInterface

from nextfill.models.architecture import configs_of
from nextfill.models.computation import to_device
from nextfill.models.libraries import attention_swapped

NAME = "nextfill_documents"

_WITH_KERNEL = ("cuda", "meta")
"""Types of devices; one without figures has the kernel's shapes."""

_IN_KERNEL = (torch.bfloat16, torch.float16)

_UNKNOWN = ("softcap", "s_aux", "position_bias", "cache")
"""What some models ask of attention and this has not."""


def document_bounds(document_ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return where the documents of the flattened rows begin, and the end, ``[n + 1] int64``.

    Padding, -1 in ``[B, T]``, counts as a document of its row.

    Example:
        >>> document_bounds(np.array([[0, 0, 1, -1], [0, 0, 0, 0]])).tolist()
        [0, 2, 3, 4, 8]
    """
    begins = np.ones(document_ids.shape, np.bool_)
    begins[:, 1:] = document_ids[:, 1:] != document_ids[:, :-1]
    return np.append(np.flatnonzero(begins), document_ids.size)


def bounds_keywords(document_ids: NDArray[np.int64], device: torch.device) -> Mapping[str, Any]:
    """Return the keywords by which transformers tells attention the documents, ``[B, T]``."""
    bounds = document_bounds(document_ids)
    places = to_device(bounds, device).int()
    longest = int(np.diff(bounds).max())
    return {
        "cu_seq_lens_q": places,
        "cu_seq_lens_k": places,
        "max_length_q": longest,
        "max_length_k": longest,
    }


def takes_document_attention(model: nn.Module) -> bool:
    """Return whether a model asks transformers for its attention, and trains it without dropout.

    The kernel has no dropout.
    """
    rates = [
        value
        for config in configs_of(model)
        for key, value in vars(config).items()
        if "att" in key and "drop" in key and isinstance(value, int | float)
    ]
    return bool(getattr(model, "_supports_attention_backend", False)) and not any(rates)


def document_attention_in_use(model: nn.Module) -> AbstractContextManager[None]:
    """Return the context in which a model uses it.

    Both passes of a step with activation checkpointing must lie in the context, as the one back
    computes attention again.
    """
    return attention_swapped(configs_of(model), NAME)


def _document_attention(  # noqa: PLR0917 - as transformers calls it
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    is_causal: bool | None = None,
    sliding_window: int | None = None,
    cu_seq_lens_q: Tensor | None = None,
    max_length_q: int = 0,
    **others: Any,
) -> tuple[Tensor, None]:
    """Compute attention, ``[B, T, H, D]``, of heads ``[B, H, T, D]``."""
    asked = [name for name in _UNKNOWN if others.get(name) is not None]
    if cu_seq_lens_q is None or asked or attention_mask is not None:
        raise ValueError(f"attention by documents has no {', '.join(asked) or 'such mask'}")
    if query.shape[2] != key.shape[2] or query.shape[3] != value.shape[3]:
        raise ValueError("attention by documents is of a text to itself")
    causal = bool(getattr(module, "is_causal", True) if is_causal is None else is_causal)
    parts = [one.transpose(1, 2).flatten(0, 1) for one in (query, key, value)]
    if query.device.type in _WITH_KERNEL and query.dtype in _IN_KERNEL:
        if dropout:
            raise ValueError("attention by documents has no dropout: give --dropout 0")
        mixed = _by_kernel(parts, cu_seq_lens_q, max_length_q, causal, sliding_window, scaling)
    else:
        compute = partial(functional.scaled_dot_product_attention, scale=scaling, dropout_p=dropout)
        mixed = _one_by_one(compute, parts, cu_seq_lens_q.tolist(), causal, sliding_window)
    return mixed.view(query.shape[0], query.shape[2], *mixed.shape[1:]), None


def _by_kernel(  # noqa: PLR0917 - as they are asked for
    parts: list[Tensor],
    bounds: Tensor,
    longest: int,
    causal: bool,
    window: int | None,
    scale: float | None,
) -> Tensor:
    # Its module is one of newer versions of PyTorch.
    from torch.nn.attention.varlen import varlen_attn

    back = -1 if window is None else window - 1
    query, key, value = parts
    mixed = varlen_attn(
        *(query, key, value, bounds, bounds, longest, longest),
        scale=scale,
        window_size=(back, 0 if causal else back),
        enable_gqa=query.shape[1] != key.shape[1],
    )
    return cast(Tensor, mixed)


def _one_by_one(
    compute: Callable[..., Tensor],
    parts: list[Tensor],
    bounds: list[int],
    causal: bool,
    window: int | None,
) -> Tensor:
    """Compute each document's attention alone, ``[n, H, D]`` of the same."""
    grouped = parts[0].shape[1] != parts[1].shape[1]
    mixed = []
    sizes = np.diff(bounds).tolist()
    for some in zip(*(part.split(sizes) for part in parts), strict=True):  # type: ignore[no-untyped-call]
        heads = [one.transpose(0, 1)[None] for one in some]
        size = some[0].shape[0]
        mask = None
        if window is not None and size > window:
            mask = torch.ones(size, size, dtype=torch.bool, device=some[0].device)
            mask = mask.triu(1 - window).tril(0 if causal else window - 1)
        is_causal = causal and mask is None
        out = compute(*heads, attn_mask=mask, is_causal=is_causal, enable_gqa=grouped)
        mixed.append(out[0].transpose(0, 1))
    return torch.cat(mixed)


AttentionInterface.register(NAME, _document_attention)
