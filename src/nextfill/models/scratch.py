"""Make a new model with random weights, in the shape that the settings give."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from nextfill.config import ModelConfig
from nextfill.errors import ConfigError, nearest
from nextfill.models.shape import set_dropout
from nextfill.models.tokenizer import SCRATCH


def new_model(config: ModelConfig, tokenizer: Any, seed: int, dropout: float | None) -> nn.Module:
    """Return a causal model with random weights in float32.

    Args:
        config: The model section, its name ``scratch:TYPE``.
        tokenizer: Gives the vocabulary's size and the special ids.
        seed: Seeds the weights.
        dropout: Set wherever the model has dropout; None leaves it as the type has it.

    Returns:
        The model.

    Raises:
        ConfigError: If the type, or an override of its config, is not known or does not fit.
    """
    from transformers import CONFIG_MAPPING, AutoConfig, AutoModelForCausalLM
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    kind = config.name.removeprefix(SCRATCH)
    if kind not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        hint = nearest(kind, MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
        raise ConfigError([f"--model {config.name}: there is no causal model type '{kind}'.{hint}"])
    known = set(CONFIG_MAPPING[kind]().to_dict())
    known |= set(getattr(CONFIG_MAPPING[kind], "attribute_map", {}))
    unknown = [key for key in config.config if key not in known]
    if unknown:
        raise ConfigError(
            [
                f"model.config.{key}: a {kind} config has no such field.{nearest(key, known)}"
                for key in unknown
            ]
        )
    defaults: Mapping[str, Any] = {
        "vocab_size": len(tokenizer),
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    try:
        shape = AutoConfig.for_model(kind, **{**defaults, **config.config})
        set_dropout(shape, dropout)
        torch.manual_seed(seed)
        return AutoModelForCausalLM.from_config(shape).float()  # type: ignore[no-any-return]
    except (ValueError, TypeError, AssertionError) as error:
        raise ConfigError([f"[model.config] does not make a {kind}: {error}"]) from error
