"""From settings to a model and its tokenizer: a checkpoint, an adapter, random weights, or live.

Live objects are those that a Python program already holds: ``nextfill.train(model=model, ...)``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from nextfill.config import ModelConfig, Objective
from nextfill.config.prefixes import LIVE, SCRATCH
from nextfill.config.settings.model_settings import NOTHING_LIVE, Live
from nextfill.core.checksums import read_record
from nextfill.core.errors import ConfigError, ModelError, nearest
from nextfill.core.shell_command import shell_command
from nextfill.models.adapters.lora import read_adapter
from nextfill.models.architecture import set_dropout
from nextfill.models.documents.attention import attention_errors, attention_keyword, check_attention
from nextfill.models.documents.causality import check_causality, tried_model
from nextfill.models.folder.location import lineage, run_above
from nextfill.models.folder.weights import read_model
from nextfill.models.libraries import (
    REFUSALS,
    auto_class,
    first_error_line,
    gone_problem,
    model_types,
)
from nextfill.models.loaded_model import LoadedModel, check_vocabulary, origin_problem
from nextfill.models.model_making import making_models
from nextfill.models.objective import choose_objective, live_objective
from nextfill.models.tokenizer import load_tokenizer


@making_models()
def load_model(
    config: ModelConfig,
    objective: Objective | None = None,
    *,
    seed: int = 0,
    dropout: float | None = None,
    live: Live = NOTHING_LIVE,
) -> LoadedModel:
    """Load a language model in float32 and evaluation mode, and its tokenizer.

    Args:
        config: The model section.
        objective: The objective to use it with; None for the one it was made for.
        seed: Seeds the random weights of a scratch model.
        dropout: Set wherever the model has dropout; None leaves it as its config says.
        live: A model or tokenizer that the program holds already, in its own mode.
    """
    check_attention(config)
    tokenizer = load_tokenizer(config, live)
    if live.model is not None:
        loaded = _live_model(live.model, tokenizer, objective, config.name, dropout)
    elif config.name.startswith(LIVE):
        raise ConfigError(
            [
                f"The model was a live one ({config.name}): hand it over again from Python, as in "
                "nextfill.train(out=RUN, resume=True, model=model, tokenizer=tokenizer)."
            ]
        )
    elif config.name.startswith(SCRATCH):
        loaded = _random_model(config, tokenizer, objective, seed=seed, dropout=dropout)
    elif config.config:
        raise ConfigError(["[model.config] shapes a scratch model; a trained one keeps its shape."])
    else:
        loaded = _from_checkpoint(config, tokenizer, objective, dropout)
    check_vocabulary(loaded)
    if live.model is None:  # a live one is left in its own mode
        loaded.model.eval()
    return loaded


def _from_checkpoint(
    config: ModelConfig, tokenizer: Any, objective: Objective | None, dropout: float | None
) -> LoadedModel:
    *adapters, place = lineage(config.name, config.revision)
    try:
        loaded = read_model(
            place,
            tokenizer,
            objective=objective,
            dropout=dropout,
            trust_remote_code=config.trust_remote_code,
            attention=config.attn_implementation,
        )
    except ModelError as error:
        if not adapters:
            raise
        raise ModelError(f"{adapters[-1].name} is an adapter for {place.name}: {error}") from error
    for adapter in reversed(adapters):
        _check_base(adapter.name, adapter.folder, loaded.folders)
        loaded = replace(
            read_adapter(loaded, adapter.folder, adapter.name),
            revision=adapter.revision,
            folders=(adapter.folder, *loaded.folders),
        )
    return loaded


def _check_base(name: str, folder: Path, base: Sequence[Path]) -> None:
    """Refuse an adapter of a run whose base is no longer the one that it was trained on."""
    run = run_above(folder.absolute())
    record = None if run is None else read_record(run)
    if record is not None and (problem := origin_problem(base, record.base)):
        raise ModelError(
            f"{name} is an adapter, and the model that it is for has changed since the run: "
            f"{problem}. Bring that model back, or train anew."
        )


def check_float32(model: nn.Module, wanted: str) -> None:
    """Refuse a live model with weights in another type than those that are wanted."""
    types = {parameter.dtype for parameter in model.parameters()}
    if types != {torch.float32}:
        found = ", ".join(sorted(str(kind).removeprefix("torch.") for kind in types))
        raise ModelError(
            f"The live model has weights in {found}; {wanted} are float32: load it with "
            "from_pretrained(..., dtype=torch.float32), or call model.float()."
        )


def _live_model(
    model: nn.Module,
    tokenizer: Any,
    objective: Objective | None,
    name: str,
    dropout: float | None,
) -> LoadedModel:
    """Check a live model, which keeps its weights, its type and its device."""
    if callable(stand_in := getattr(model, "stand_in", None)):
        model = stand_in()
    check_float32(model, "master weights")
    if not callable(getattr(model, "get_input_embeddings", None)):
        raise ModelError(
            f"A {type(model).__name__} is not a transformers model: give one made by "
            "AutoModelForCausalLM or AutoModelForMaskedLM."
        )
    if dropout is not None:
        raise ConfigError(["A live model keeps its dropout: set it where you make the model."])
    adapter = model if hasattr(model, "peft_config") and hasattr(model, "get_base_model") else None
    inner: Any = model if adapter is None else adapter.get_base_model()  # type: ignore[operator]
    chosen = live_objective(inner, objective, name)
    if chosen == "causal":
        check_causality(inner, name)
    return LoadedModel(inner, tokenizer, name, chosen, adapter=adapter)


def _random_model(
    config: ModelConfig,
    tokenizer: Any,
    objective: Objective | None,
    *,
    seed: int,
    dropout: float | None,
) -> LoadedModel:
    """Make a model of random weights in float32, in the shape that the settings give."""
    from huggingface_hub.errors import StrictDataclassError
    from transformers import AutoConfig

    kind = config.name.removeprefix(SCRATCH)
    settings = _random_settings(config, kind, tokenizer, objective)
    try:
        shape = AutoConfig.for_model(kind, **settings)
        set_dropout(shape, dropout)
        chosen = choose_objective(shape, objective, config.name)
        if chosen == "masked" and tokenizer.pad_token_id is None:
            raise ConfigError(
                [
                    f"--model {config.name} pads its texts, and the tokenizer has no pad token: "
                    "give one that has, such as is made by: "
                    f"{shell_command('tokenizer', 'train')} --data DATA --out FOLDER"
                ]
            )

        def build(changed: Any) -> nn.Module:
            torch.manual_seed(seed)
            keyword = attention_keyword(config.attn_implementation)
            with attention_errors(config.attn_implementation, config.name):
                model = auto_class(chosen).from_config(changed, **keyword)
            return cast(nn.Module, model.float())

        model, changes = tried_model(chosen, shape, build, config.name, new=True)
    except (*REFUSALS, StrictDataclassError) as error:
        reason = " ".join(str(error).split())
        if not isinstance(error, ValueError | TypeError | StrictDataclassError):
            reason = first_error_line(error)  # which alone says too little
        raise ConfigError([f"[model.config] does not make a {kind}: {reason}"]) from error
    return LoadedModel(model, tokenizer, config.name, chosen, changes=changes)


def _random_settings(
    config: ModelConfig, kind: str, tokenizer: Any, objective: Objective | None
) -> Mapping[str, Any]:
    """Return the configuration of a new model: its tokenizer's ids, and the user's overrides."""
    from transformers import CONFIG_MAPPING

    objectives: list[Objective] = [objective] if objective else ["causal", "masked"]
    types = {name for one in objectives for name in model_types(one)}
    if kind not in types:
        if problem := gone_problem(kind):
            raise ConfigError([f"--model {config.name}: {problem}"])
        sort, hint = " or ".join(objectives), nearest(kind, types)
        raise ConfigError([f"--model {config.name}: there is no {sort} model type '{kind}'.{hint}"])
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
    defaults: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        **{name: getattr(tokenizer, name) for name in special if name in known},
    }
    if objective == "causal" and kind in model_types("masked"):
        defaults["is_decoder"] = True  # else it would look ahead at what it predicts
    return {**defaults, **config.config}
