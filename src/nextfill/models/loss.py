"""Losses as a sum and a count, divided only at the very end."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class LossSum:
    """A sum of nats and how many targets it is over.

    Sums add up over micro-batches, ranks and batches, so that no average of averages is ever taken
    and the result does not depend on how rows were grouped.

    Args:
        nats: Sum of negative log-likelihoods in nats, a Python float (float64).
        targets: Targets scored.

    Example:
        >>> (LossSum(6.0, 2) + LossSum(3.0, 1)).mean
        3.0
    """

    nats: float = 0.0
    targets: int = 0

    def __add__(self, other: LossSum) -> LossSum:
        return LossSum(self.nats + other.nats, self.targets + other.targets)

    @property
    def mean(self) -> float:
        """Nats per target; NaN where nothing was scored."""
        return self.nats / self.targets if self.targets else math.nan

    @property
    def perplexity(self) -> float:
        """exp(total nats / total targets); infinite where that overflows."""
        try:
            return math.exp(self.mean)
        except OverflowError:
            return math.inf
