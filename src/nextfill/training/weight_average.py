"""The moving average of a run's weights, which is evaluated and saved in their place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

WARM_UP = 10
"""Steps over which the average begins to hold more than the last weights."""


class WeightAverage:
    """An exponential moving average of the trained parameters; of none without a decay.

    After step n it is d times itself and 1 - d times the weights, d being the decay, or
    (1 + n) / (10 + n) where that is less, so that random or foreign weights are soon forgotten.

    Args:
        model: The model, whose trained parameters are averaged.
        decay: Share of the average that a step leaves; None for no average.

    Source:
        Polyak and Juditsky 1992, Acceleration of Stochastic Approximation by Averaging; the rise of
        the decay is that of TensorFlow's ``ExponentialMovingAverage``.
    """

    def __init__(self, model: nn.Module, decay: float | None) -> None:
        self._decay = decay or 0.0
        named = model.named_parameters() if decay is not None else ()
        self._parameters = {name: one for name, one in named if one.requires_grad}
        self._values = {name: one.detach().clone() for name, one in self._parameters.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take the weights after a step, counted from 1, into the average."""
        share = 1 - min(self._decay, (1 + step) / (WARM_UP + step))
        for name, value in self._values.items():
            value.lerp_(self._parameters[name], share)

    @property
    def is_kept(self) -> bool:
        """Whether there is an average at all."""
        return bool(self._values)

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Give the model the average for a while."""
        weights = self.take_place()
        try:
            yield
        finally:
            self.give_back(weights)

    def take_place(self) -> dict[str, Tensor]:
        """Give the model the average, and return its own weights."""
        weights = {name: one.detach().clone() for name, one in self._parameters.items()}
        self.apply()
        return weights

    def give_back(self, weights: Mapping[str, Tensor]) -> None:
        """Give the model its own weights again."""
        self._give(weights)

    def apply(self) -> None:
        """Give the model the average for good."""
        self._give(self._values)

    def state(self) -> dict[str, Tensor]:
        """Return the average, for a checkpoint; empty where there is none."""
        return dict(self._values)

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Go on from the average of a checkpoint."""
        for name, value in self._values.items():
            value.copy_(state[name])

    @torch.no_grad()
    def _give(self, weights: Mapping[str, Tensor]) -> None:
        for name, parameter in self._parameters.items():
            parameter.copy_(weights[name])
