"""Weights between transformers and Keras: one rule for the names, in both directions.

A layer is named as its module, so that a variable's name gives the parameter's. A projection is
transposed, but for GPT-2's, which transformers keeps as Keras does.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import torch
from torch import Tensor, nn

from nextfill.core.errors import ModelError
from nextfill.keras_engine.language_model import LanguageModel

_PARTS = {
    "kernel": "weight",
    "embeddings": "weight",
    "gamma": "weight",
    "beta": "bias",
    "scale": "weight",
    "bias": "bias",
}
"""Parameters of a module by the names of a layer's variables."""

_UNTIED_HEAD = "lm_head.weight"


def parameters(model: LanguageModel, torch_model: nn.Module) -> Iterator[tuple[Any, str, bool]]:
    """Yield each variable of a Keras model, its parameter's name, and whether it is transposed."""
    modules = {name.replace(".", "-"): name for name, _ in torch_model.named_modules()}
    keeps_conv1d = model.config.model_type == "gpt2"
    for variable in model.weights:
        layer, _, part = variable.path.rpartition("/")
        layer = layer.rpartition("/")[2]
        if part == "reverse_embeddings":
            yield variable, _UNTIED_HEAD, True
        elif part in _PARTS and layer in modules:
            is_transposed = part == "kernel" and not keeps_conv1d
            yield variable, f"{modules[layer]}.{_PARTS[part]}", is_transposed


def load_weights(model: LanguageModel, torch_model: nn.Module) -> None:
    """Give a Keras model the weights of a transformers model of the same configuration."""
    state = torch_model.state_dict()
    for variable, name, is_transposed in _complete(model, torch_model):
        variable.assign(_as_keras(state[name], is_transposed))


def save_weights(model: LanguageModel, torch_model: nn.Module) -> None:
    """Give a transformers model the weights of a Keras model of the same configuration."""
    state = torch_model.state_dict()
    with torch.no_grad():
        for variable, name, is_transposed in _complete(model, torch_model):
            state[name].copy_(as_torch(variable, is_transposed))


def as_torch(variable: Any, is_transposed: bool) -> Tensor:
    """Return a copy of a Keras variable as a parameter's values, ``float32``."""
    values = np.array(keras.ops.convert_to_numpy(variable), np.float32)
    return torch.from_numpy(np.ascontiguousarray(values.T) if is_transposed else values)


def _as_keras(tensor: Tensor, is_transposed: bool) -> np.ndarray[Any, Any]:
    values = tensor.detach().float().cpu().numpy()
    return values.T if is_transposed else values


def _complete(model: LanguageModel, torch_model: nn.Module) -> list[tuple[Any, str, bool]]:
    """Return the pairs of variables and parameters; refuse models that are not the same."""
    pairs = list(parameters(model, torch_model))
    shared = {name: id(one) for name, one in torch_model.named_parameters(remove_duplicate=False)}
    reached = {shared[name] for _, name, _ in pairs if name in shared}
    missing = sorted(name for name, one in shared.items() if one not in reached)
    variables = [v for v in model.weights if "seed_generator" not in v.path]
    lost = sorted({v.path for v in variables} - {v.path for v, _, _ in pairs})
    if missing or lost:
        names = ", ".join([*missing, *lost][:4])
        raise ModelError(
            f"The Keras model and the {type(torch_model).__name__} are not the same: {names}"
        )
    return pairs
