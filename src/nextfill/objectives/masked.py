"""The masked objective."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nextfill.config import MaskingUnit
from nextfill.data.order import philox
from nextfill.data.packing.loader import NO_TARGET, Blocks
from nextfill.objectives.batch import Batch


@dataclass(frozen=True)
class Masking:
    """What to hide, and how."""

    rate: float
    unit: MaskingUnit
    mask_id: int
    special_ids: NDArray[np.int64]
    random_ids: NDArray[np.int64]
    mask_share: float = 0.8
    random_share: float = 0.1


def masked(blocks: Blocks, masking: Masking, keys: Sequence[tuple[int, ...]]) -> Batch:
    """Hide tokens."""
    width = blocks.tokens.shape[1]
    raw = np.stack([philox("mask", *key).random_raw(3 * width).reshape(width, 3) for key in keys])
    draws = (raw >> np.uint64(11)) * 2.0**-53
    special = (
        blocks.special | (blocks.document_ids < 0) | np.isin(blocks.tokens, masking.special_ids)
    )
    chosen = ~special & (draws[..., 0] < masking.rate)
    labels = np.where(chosen, blocks.tokens, NO_TARGET)
    tokens = blocks.tokens.copy()
    how = draws[..., 1]
    tokens[chosen & (how < masking.mask_share)] = masking.mask_id
    swap = chosen & (how >= masking.mask_share) & (how < masking.mask_share + masking.random_share)
    if swap.any():
        tokens[swap] = masking.random_ids[
            (draws[..., 2][swap] * len(masking.random_ids)).astype(int)
        ]
    return Batch(tokens, labels, blocks.position_ids, blocks.document_ids)
