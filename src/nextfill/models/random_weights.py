"""Make a new model with random weights, in the shape that the settings give."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import nn

from nextfill.config import ModelConfig, Objective
from nextfill.core.errors import ConfigError, nearest
from nextfill.models.architecture import set_dropout
from nextfill.models.causality import model_for
from nextfill.models.model_objective import auto_class, choose_objective, model_types
from nextfill.models.tokenizer import SCRATCH


def new_model(
    config: ModelConfig,
    tokenizer: Any,
    objective: Objective | None,
    *,
    seed: int,
    dropout: float | None,
) -> tuple[nn.Module, Objective, tuple[str, ...]]:
    """Return a model with random weights in float32, what it is for, and what was changed."""
    from huggingface_hub.errors import StrictDataclassError
    from transformers import CONFIG_MAPPING, AutoConfig

    kind = config.name.removeprefix(SCRATCH)
    asked: list[Objective] = [objective] if objective else ["causal", "masked"]
    types = {name for one in asked for name in model_types(one)}
    if kind not in types:
        what = " or ".join(asked)
        hint = nearest(kind, types)
        raise ConfigError([f"--model {config.name}: there is no {what} model type '{kind}'.{hint}"])
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
    special = ("bos_token_id", "eos_token_id", "pad_token_id", "cls_token_id", "sep_token_id")
    defaults: Mapping[str, Any] = {
        "vocab_size": len(tokenizer),
        **{name: getattr(tokenizer, name) for name in special if name in known},
    }
    if objective == "causal" and kind in model_types("masked"):
        defaults = {**defaults, "is_decoder": True}  # else it would look ahead at what it predicts
    try:
        shape = AutoConfig.for_model(kind, **{**defaults, **config.config})
        set_dropout(shape, dropout)
        chosen = choose_objective(shape, objective, config.name)
        if chosen == "masked" and tokenizer.pad_token_id is None:
            raise ConfigError(
                [
                    f"--model {config.name} pads its texts, and the tokenizer has no pad token: "
                    "give one that has, such as nextfill tokenizer train makes."
                ]
            )

        def build(changed: Any) -> nn.Module:
            torch.manual_seed(seed)
            return cast(nn.Module, auto_class(chosen).from_config(changed).float())

        model, changes = model_for(chosen, shape, build, config.name, new=True)
    except (ValueError, TypeError, AssertionError, StrictDataclassError) as error:
        raise ConfigError([f"[model.config] does not make a {kind}: {error}"]) from error
    return model, chosen, changes
