"""The factors of dropout on a CPU, four of them from one draw of 64 bits."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

_LEVELS = 1 << 16
_DRAWN_AT_ONCE = 4


def kept(
    shape: Sequence[int],
    p: float,
    kind: torch.dtype,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Draw the factors of dropout.

    Args:
        shape: The shape of the tensor that they multiply.
        p: The share of elements to drop, rounded to 1 in 65,536.
        kind: The type of the factors.
        generator: What draws them, by default PyTorch's own generator.

    Returns:
        0 for each element that is dropped, and for the others what keeps the mean as it is.

    Example:
        >>> factors = kept((4, 100), 0.5, torch.float32)
        >>> factors.shape, sorted(set(factors.flatten().tolist()))
        (torch.Size([4, 100]), [0.0, 2.0])
    """
    dropped = min(max(round(p * _LEVELS), 1), _LEVELS - 1)
    size = math.prod(shape)
    words = torch.empty(-(-size // _DRAWN_AT_ONCE), dtype=torch.int64)
    words.random_(-(2**63), None, generator=generator)
    numbers = words.view(torch.int16)[:size].view(*shape)
    factors = torch.empty(*shape, dtype=kind)
    # Straight into the type, which is faster than by a mask of bools.
    torch.ge(numbers, dropped - _LEVELS // 2, out=factors)
    return factors.mul_(_LEVELS / (_LEVELS - dropped))
