"""AdamW as the guides' ``create_optimizer`` makes it: decay off biases and norms, any schedule."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np
import torch
from keras import ops
from torch import nn

from nextfill.core.errors import ConfigError
from nextfill.keras_engine.language_model import LanguageModel
from nextfill.keras_engine.weight_conversion import as_torch, parameters

_DECAYED = ("kernel", "embeddings")
"""Ends of the names of variables with decay: all but biases and norms."""


@keras.saving.register_keras_serializable("nextfill")
class RateTable(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate for each step, by a table; the last one holds for any step after it.

    Args:
        rates: The rate of each optimizer step, from the first.
    """

    def __init__(self, rates: Sequence[float]) -> None:
        self.rates = np.asarray(rates, np.float32)

    def __call__(self, step: Any) -> Any:
        """Return the rate of a step, counted from 0."""
        last = len(self.rates) - 1
        return ops.take(
            ops.convert_to_tensor(self.rates), ops.minimum(ops.cast(step, "int32"), last)
        )

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make it."""
        return {"rates": self.rates.tolist()}


@keras.saving.register_keras_serializable("nextfill")
class AdamW(keras.optimizers.Optimizer):
    """AdamW to the letter, as PyTorch has it, without decay of biases and norms.

    Keras' own differs in two things. It adds epsilon to the second moment before that is corrected
    for its bias, which counts in the first steps. And on TensorFlow it clips by a norm in which the
    gradient of an embedding has each use of a row apart, instead of their sum.

    Args:
        learning_rate: A number, or a schedule.
        weight_decay: Decay of all variables but biases and norms, or those excluded by hand.
        betas: Decay of the first and of the second moment.
        epsilon: Added to the root of the second moment.
        max_norm: Norm to which gradients are clipped; 0 for none.

    Source:
        Loshchilov and Hutter 2019, Decoupled Weight Decay Regularization, algorithm 2.
    """

    def __init__(
        self,
        learning_rate: Any,
        *,
        weight_decay: float = 0.01,
        betas: Sequence[float] = (0.9, 0.999),
        epsilon: float = 1e-8,
        max_norm: float = 0.0,
        name: str = "adamw",
        **others: Any,
    ) -> None:
        others = {**others, "weight_decay": weight_decay, "global_clipnorm": max_norm or None}
        super().__init__(learning_rate, name=name, **others)
        self.betas, self.epsilon, self.max_norm = tuple(betas), epsilon, max_norm

    def __iter__(self) -> Iterator[Any]:
        """Refuse to be unpacked, as the pair of ``create_optimizer`` is."""
        raise ConfigError(
            [
                "nextfill.keras.adamw returns the optimizer alone, which has its schedule within "
                "(optimizer.learning_rate). Type: optimizer = nextfill.keras.adamw(model, steps)"
            ]
        )

    def build(self, variables: Sequence[Any]) -> None:
        """Make the moments, and the place of the norm of a step's gradient before it is clipped."""
        if self.built:
            return
        # Here, as a model that Keras loads from its file makes its optimizer by itself.
        if not hasattr(self, "_exclude_from_weight_decay"):
            plain = [one for one in variables if not one.path.endswith(_DECAYED)]
            self.exclude_from_weight_decay(var_list=plain)
        super().build(variables)
        first, second = self.add_optimizer_variables(variables, ["momentum", "velocity"])
        self.rows = _rows(variables)
        self.moments = list(zip(first, second, strict=True))
        self.gradient_norm = self.add_variable(
            shape=(), initializer="zeros", dtype="float32", name="gradient_norm"
        )

    def apply(self, grads: Sequence[Any], trainable_variables: Any = None) -> None:
        """Take a step, and remember the norm of its gradient."""
        if trainable_variables is not None:
            trainable_variables = list(trainable_variables)
            self.build(trainable_variables)
        # Without those of layers that were frozen since it was made.
        rows = self.rows if trainable_variables is None else _rows(trainable_variables)
        whole = [_whole(*pair) for pair in zip(grads, rows, strict=True)]
        squares = [ops.sum(ops.square(one)) for one in whole if one is not None]
        self.gradient_norm.assign(ops.sqrt(sum(squares, start=ops.zeros(()))))
        super().apply(whole, trainable_variables)

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Change a variable, and its moments, by its gradient."""
        rate = ops.cast(learning_rate, variable.dtype)
        gradient = ops.cast(gradient, variable.dtype)
        step = ops.cast(self.iterations + 1, variable.dtype)
        first, second = self.moments_of(variable)
        powers = [ops.power(ops.cast(beta, variable.dtype), step) for beta in self.betas]
        self.assign_add(first, (gradient - first) * (1 - self.betas[0]))
        self.assign_add(second, (ops.square(gradient) - second) * (1 - self.betas[1]))
        scale = ops.sqrt(1 - powers[1])
        change = rate / (1 - powers[0]) * first / (ops.sqrt(second) / scale + self.epsilon)
        self.assign_sub(variable, change)

    def moments_of(self, variable: Any) -> tuple[Any, Any]:
        """Return the first and the second moment of a variable."""
        first, second = self.moments[self._get_variable_index(variable)]
        return first, second

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make it."""
        config = super().get_config()
        del config["global_clipnorm"]
        own = {"betas": self.betas, "epsilon": self.epsilon, "max_norm": self.max_norm}
        return {**config, **own}


def _rows(variables: Sequence[Any]) -> list[int]:
    return [one.shape[0] if one.shape else 0 for one in variables]


def _whole(gradient: Any, rows: int) -> Any:
    """Return a gradient, of an embedding of TensorFlow's, too, as one number for each weight."""
    if not hasattr(gradient, "dense_shape"):
        return gradient
    return ops.segment_sum(gradient.values, gradient.indices, num_segments=rows)


def make_optimizer(
    model: LanguageModel,
    rates: Sequence[float],
    *,
    weight_decay: float,
    betas: tuple[float, float] = (0.9, 0.999),
    epsilon: float = 1e-8,
    max_norm: float = 0.0,
) -> AdamW:
    """Return the optimizer of a model, built, so that moments can be put into it.

    Source:
        Loshchilov and Hutter 2019, Decoupled Weight Decay Regularization.
    """
    optimizer = AdamW(
        RateTable(rates),
        weight_decay=weight_decay,
        betas=betas,
        epsilon=epsilon,
        max_norm=max_norm,
    )
    optimizer.build(model.trainable_variables)
    return optimizer


def load_moments(
    optimizer: AdamW, model: LanguageModel, torch_model: nn.Module, state: Any, step: int
) -> None:
    """Put the state of a PyTorch AdamW after some steps into Keras' own."""
    by_name = dict(torch_model.named_parameters())
    optimizer.iterations.assign(step)
    for variable, name, is_transposed in parameters(model, torch_model):
        found = state.get(by_name.get(name))
        if not found:
            continue
        first, second = optimizer.moments_of(variable)
        for place, key in ((first, "exp_avg"), (second, "exp_avg_sq")):
            values = found[key].float().cpu().numpy()
            place.assign(values.T if is_transposed else values)


def save_moments(
    optimizer: AdamW, model: LanguageModel, torch_model: nn.Module, state: Any
) -> None:
    """Put the state of Keras' AdamW into that of a PyTorch one, as its checkpoints keep it."""
    by_name = dict(torch_model.named_parameters())
    step = torch.tensor(float(ops.convert_to_numpy(optimizer.iterations)))
    for variable, name, is_transposed in parameters(model, torch_model):
        if name in by_name:
            first, second = optimizer.moments_of(variable)
            state[by_name[name]] = {
                "step": step.clone(),
                "exp_avg": as_torch(first, is_transposed),
                "exp_avg_sq": as_torch(second, is_transposed),
            }
