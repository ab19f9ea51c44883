"""Keras models in the place of transformers' own: made of one, saved as one, computing as one."""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from types import MethodType
from typing import Any

import keras
import numpy as np
import torch
from torch import Tensor, nn

from nextfill.config import ModelConfig, Objective
from nextfill.config.foreign.foreign_keywords import answers_keywords
from nextfill.core.atomic_write import write_folder
from nextfill.core.errors import ConfigError, ModelError, NextfillError
from nextfill.core.paths import user_path
from nextfill.keras_engine.encoders import first_position
from nextfill.keras_engine.language_model import (
    INPUTS,
    MASKED,
    LanguageModel,
    build_model,
    chosen_precision,
)
from nextfill.keras_engine.weight_conversion import load_weights, parameters, save_weights
from nextfill.models.libraries import auto_class, quiet_transformers, transformers_as_found
from nextfill.models.model_making import making_models

logger = logging.getLogger("nextfill")

WIDTHS = 32
"""Rows are padded to a multiple of this many tokens: JAX and TensorFlow compile for each width."""


def as_keras(
    torch_model: nn.Module, precision: str = "fp32", tokenizer: Any = None
) -> LanguageModel:
    """Return a Keras model with the configuration and the weights of one of transformers.

    What is frozen in it stays so: parameters, and the row of a padding token.
    """
    model = build_model(torch_model.config, precision, tokenizer)
    load_weights(model, torch_model)
    given: Any = torch_model
    # Set by the configuration when the embedding was made, which may have been changed since.
    model.tokens.padding_id = given.get_input_embeddings().padding_idx
    object.__setattr__(model, "generation_config", _generation_config(given))
    by_name = dict(torch_model.named_parameters(remove_duplicate=False))
    for variable, name, _ in parameters(model, torch_model):
        if name in by_name and not by_name[name].requires_grad:
            variable.trainable = False
    return model


def _generation_config(torch_model: Any) -> Any:
    """Return how transformers continues a text by a model, None where it would not save that."""
    found = getattr(torch_model, "generation_config", None)
    try:
        if found is not None:
            found.validate(strict=True)
    except ValueError as error:
        logger.warning("the model's generation_config is left out: %s", error)
        return None
    return copy.deepcopy(found)


@making_models()
def as_transformers(model: LanguageModel) -> nn.Module:
    """Return a model of transformers with the configuration and the weights of a Keras one."""
    objective: Objective = "masked" if model.config.model_type in MASKED else "causal"
    torch_model: Any = auto_class(objective).from_config(model.config).eval()
    save_weights(model, torch_model)
    if (found := getattr(model, "generation_config", None)) is not None:
        torch_model.generation_config = copy.deepcopy(found)
    return torch_model  # type: ignore[no-any-return]


def computed_by(model: LanguageModel) -> nn.Module:
    """Return a model of transformers whose logits are computed by a Keras model.

    It is for scoring and decoding, which then are the same for all: each full forward pass, without
    gradients and without a cache, is one of Keras.
    """
    torch_model = as_transformers(model)

    def forward(
        self: Any,
        input_ids: Tensor,
        attention_mask: Tensor | Mapping[str, Tensor] | None = None,
        position_ids: Tensor | None = None,
        **others: Any,
    ) -> Any:
        from transformers.modeling_outputs import CausalLMOutput

        del self
        if others.get("past_key_values") is not None and len(others["past_key_values"]):
            raise ValueError("a Keras model keeps no keys and values")
        first = first_position(model.config)
        inputs = keras_inputs(input_ids, attention_mask, position_ids, first)
        return CausalLMOutput(logits=torch.from_numpy(logits(model, inputs)))

    torch_model.forward = MethodType(forward, torch_model)
    return torch_model


def keras_inputs(
    input_ids: Tensor,
    attention_mask: Tensor | Mapping[str, Tensor] | None,
    position_ids: Tensor | None,
    first: int,
) -> dict[str, np.ndarray[Any, Any]]:
    """Return the inputs of a Keras model, ``[B, T] int32`` each, for those of transformers'.

    A mask of four dimensions has a document begin at the first position that it may see, by that of
    the layers without a window where there are several; without a mask one begins wherever the
    positions begin again.
    """
    batch, length = input_ids.shape
    if isinstance(attention_mask, Mapping):
        attention_mask = attention_mask["full_attention"]
    if attention_mask is not None and attention_mask.dim() == 4:
        documents = (attention_mask[:, 0] == 0).int().argmax(dim=-1)
    elif attention_mask is not None:
        documents = attention_mask.int() - 1
    elif position_ids is not None:
        documents = (position_ids == first).int().cumsum(dim=1)
    else:
        documents = torch.zeros_like(input_ids)
    if position_ids is None:
        positions = torch.arange(length).expand(batch, length)
        if attention_mask is not None and attention_mask.dim() == 2:
            positions = (attention_mask.cumsum(dim=1) - 1).clamp(min=0)
    else:
        positions = position_ids.expand(batch, length) - first
    parts = {"input_ids": input_ids, "position_ids": positions, "document_ids": documents}
    return {name: part.numpy().astype(np.int32) for name, part in parts.items()}


def logits(model: LanguageModel, inputs: dict[str, Any]) -> np.ndarray[Any, Any]:
    """Return the logits of rows of any length, ``[B, T, V] float32``."""
    length = inputs["input_ids"].shape[1]
    width = -(-length // WIDTHS) * WIDTHS
    fills = {"input_ids": 0, "position_ids": 0, "document_ids": -1}
    padded = {
        name: np.pad(part, ((0, 0), (0, width - length)), constant_values=fills[name])
        for name, part in inputs.items()
    }
    _trace_once(model)
    found = np.asarray(model.predict_on_batch(padded), np.float32)
    return np.ascontiguousarray(found[:, :length])


def _trace_once(model: LanguageModel) -> None:
    """Have TensorFlow trace a model for all shapes at once, where it would for the first three."""
    if keras.backend.backend() != "tensorflow" or model.predict_function is not None:
        return
    tensorflow = import_module("tensorflow")
    model.make_predict_function()
    function: Any = model.predict_function
    if not model.run_eagerly:
        shape = tensorflow.TensorSpec((None, None), tensorflow.int32)
        function.get_concrete_function([(dict.fromkeys(INPUTS, shape),)])


@answers_keywords("nextfill.keras.from_transformers")
def from_transformers(
    name: str | Path | nn.Module, *, revision: str | None = None
) -> LanguageModel:
    """Return the Keras model of a folder, a run, a Hub id or a model of transformers in memory.

    Args:
        name: As ``--model`` takes it; or a live model of transformers in float32.
        revision: A branch, a tag or a commit on the Hub.

    Returns:
        A functional `keras.Model`: inputs ``input_ids``, ``position_ids`` and ``document_ids``,
        each ``[B, T] int32``; logits ``[B, T, V]``. It can be compiled and fitted like any other,
        and has its ``tokenizer``, so that `nextfill.generate` and its sisters take it alone. It
        computes by Keras' policy of the moment, ``mixed_bfloat16`` and ``mixed_float16`` too, and
        leaves the parameters frozen that a live model has frozen.

    Raises:
        ModelError: If there is no such model, or Keras models cannot hold it exactly.

    Example:
        >>> import nextfill
        >>> model = nextfill.keras.from_transformers("builtin:base-causal")
        >>> model.name
        'llama'
    """
    from nextfill.models.load import check_float32, load_model

    if isinstance(name, nn.Module):
        check_float32(name, "those of Keras")
        return as_keras(name, chosen_precision())
    loaded = load_model(ModelConfig(name=str(name), revision=revision))
    return as_keras(loaded.model, chosen_precision(), loaded.tokenizer)


@answers_keywords("nextfill.keras.to_transformers")
def to_transformers(model: LanguageModel, folder: str | Path, tokenizer: Any = None) -> Path:
    """Save a Keras model as a folder that transformers and Nextfill read.

    Args:
        model: A model of `from_transformers`.
        folder: A new folder, written whole or not at all.
        tokenizer: Saved beside it; default: the one that it was loaded with.

    Returns:
        The folder: config.json, model.safetensors, and the tokenizer's files.
    """
    if not isinstance(model, LanguageModel):
        raise ModelError(
            f"model: found a {type(model).__name__}; expected a model of "
            "nextfill.keras.from_transformers."
        )
    if problems := tokenizer_problems(tokenizer):
        raise ConfigError(problems)
    path = user_path(str(folder), "folder")
    if path.exists():
        raise NextfillError(f"{folder} is there already: give the name of a new folder.")
    write_model(model, path, tokenizer)
    return path


def tokenizer_problems(tokenizer: object) -> list[str]:
    """Return why a tokenizer cannot be saved beside a model; none where it can."""
    if tokenizer is None or callable(getattr(tokenizer, "save_pretrained", None)):
        return []
    return [
        f"tokenizer: found {shown(tokenizer)}; expected one of transformers, or none for that of "
        "the model. Type: tokenizer=AutoTokenizer.from_pretrained('NAME')"
    ]


def shown(value: object) -> str:
    """Return a text or a number as it is, and the type of anything else."""
    if isinstance(value, str | int | float):
        return f"{value!r:.60}"
    return f"a {type(value).__name__}"


def write_model(model: LanguageModel, folder: Path, tokenizer: Any) -> None:
    """Write a model's folder in place of an older one, whole at any moment."""
    with transformers_as_found(), write_folder(folder, owned=True) as beside:
        quiet_transformers()
        as_transformers(model).save_pretrained(beside)  # type: ignore[operator]
        tokenizer = model.tokenizer if tokenizer is None else tokenizer
        if tokenizer is not None:
            tokenizer.save_pretrained(beside)
