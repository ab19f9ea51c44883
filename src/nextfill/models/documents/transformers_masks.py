"""Whether rows hold several documents, or padding, as transformers asks to choose its masks.

It reads that from the tensors of each forward pass, for which a GPU has to be done with all that it
was given before. The host made the batch and knows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache, wraps
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import masking_utils

from nextfill.models.computation import reads_late
from nextfill.objectives.batch import Batch

_PACKED, _PADDED = "find_packed_sequence_indices", "_ignore_bidirectional_mask_sdpa"

_known: ContextVar[Batch | None] = ContextVar("known", default=None)


@contextmanager
def known_to_masks(batch: Batch | None, device: torch.device) -> Iterator[None]:
    """Have transformers ask the host about a batch instead of a device that it would wait for."""
    if batch is None or not reads_late(device):
        yield
        return
    _install()
    token = _known.set(batch)
    try:
        yield
    finally:
        _known.reset(token)


@cache
def _install() -> None:
    """Put the host's answers before transformers' own, once; they are used in a context alone."""
    for name, answer in ((_PACKED, _packed_rows), (_PADDED, _is_without_padding)):
        setattr(masking_utils, name, _asking_first(answer, getattr(masking_utils, name)))


def _asking_first(answer: Callable[..., Any], original: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(original)
    def ask(*args: Any, **kwargs: Any) -> Any:
        batch = _known.get()
        return original(*args, **kwargs) if batch is None else answer(batch, *args, **kwargs)

    return ask


def _packed_rows(batch: Batch, position_ids: Tensor) -> Tensor | None:
    """Return the number of each position's run of positions in its row, None for one a row."""
    if not (np.diff(batch.position_ids, axis=1) != 1).any():
        return None
    steps = torch.diff(position_ids, prepend=position_ids[:, :1] - 1, dim=-1)
    return (steps != 1).cumsum(-1)


def _is_without_padding(
    batch: Batch,
    padding_mask: Tensor | None,
    kv_length: int,
    local_attention_size: int | None = None,
) -> bool:
    """Return whether attention both ways needs no mask."""
    is_local = local_attention_size is not None and kv_length >= local_attention_size
    return not is_local and (padding_mask is None or bool((batch.document_ids >= 0).all()))
