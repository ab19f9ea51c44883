"""Get a model and its tokenizer: from a checkpoint, an adapter and its base, from scratch, or live.

Live objects are those that a Python program already holds: ``nextfill.train(model=model, ...)``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from nextfill.config import DEFAULT_BLOCK_SIZE, ModelConfig, Objective
from nextfill.config.model_settings import LIVE, NOTHING_LIVE, Live
from nextfill.core.errors import ConfigError, ModelError
from nextfill.core.manifest import read_record
from nextfill.models.architecture import embedding_rows
from nextfill.models.base_checksums import origin_problem
from nextfill.models.causality import check_causality
from nextfill.models.loaded_model import LoadedModel
from nextfill.models.location import run_above
from nextfill.models.lora import lineage, read_adapter
from nextfill.models.model_objective import live_objective
from nextfill.models.random_weights import new_model
from nextfill.models.tokenizer import SCRATCH, load_tokenizer
from nextfill.models.tokenizer_files import sample_ids
from nextfill.models.weights import read_model


def load_model(
    config: ModelConfig,
    objective: Objective | None = None,
    *,
    seed: int = 0,
    dropout: float | None = None,
    live: Live = NOTHING_LIVE,
) -> LoadedModel:
    """Get a language model and its tokenizer as the settings say.

    Args:
        config: The model section.
        objective: What it is to be used for; None for what it was made for.
        seed: Seeds the random weights of a scratch model.
        dropout: Set wherever the model has dropout; None leaves it as its config says.
        live: A model or tokenizer that the program holds already.

    Returns:
        The model in float32 and evaluation mode, and its tokenizer.

    Raises:
        ModelError: If the model is for another objective, weights are missing or do not fit, are
            not safetensors, or the vocabulary is larger than the embedding.
        ConfigError: If a scratch model's type or an override of its config is not known, or a live
            model was not handed over.
    """
    tokenizer = load_tokenizer(config, live)
    if live.model is not None:
        loaded = _taken_over(live.model, tokenizer, objective, config.name, dropout)
    elif config.name.startswith(LIVE):
        raise ConfigError(
            [
                f"The model was a live one ({config.name}): hand it over again from Python, as in "
                "nextfill.train(out=RUN, resume=True, model=model, tokenizer=tokenizer)."
            ]
        )
    elif config.name.startswith(SCRATCH):
        model, made_for, changes = new_model(
            config, tokenizer, objective, seed=seed, dropout=dropout
        )
        loaded = LoadedModel(model, tokenizer, config.name, made_for, changes=changes)
    elif config.config:
        raise ConfigError(["[model.config] shapes a scratch model; a trained one keeps its shape."])
    else:
        loaded = _from_checkpoint(config, tokenizer, objective, dropout)
    check_vocabulary(loaded)
    if live.model is None:  # a live one is left as it was found
        loaded.model.eval()
    return loaded


def _from_checkpoint(
    config: ModelConfig, tokenizer: Any, objective: Objective | None, dropout: float | None
) -> LoadedModel:
    *adapters, place = lineage(config.name, config.revision)
    try:
        read = read_model(
            place.folder,
            place.name,
            objective=objective,
            dropout=dropout,
            trust_remote_code=config.trust_remote_code,
        )
    except ModelError as error:
        if not adapters:
            raise
        raise ModelError(f"{adapters[-1].name} is an adapter for {place.name}: {error}") from error
    loaded = LoadedModel(
        read.model,
        tokenizer,
        place.name,
        read.objective,
        revision=place.revision,
        unexpected=read.unexpected,
        changes=read.changes,
        folders=(place.folder,),
    )
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
    run = run_above(folder)
    record = None if run is None else read_record(run)
    if record is not None and (problem := origin_problem(base, record.base)):
        raise ModelError(
            f"{name} is an adapter, and the model that it is for has changed since the run: "
            f"{problem}. Bring that model back, or train anew."
        )


def _taken_over(
    model: nn.Module,
    tokenizer: Any,
    objective: Objective | None,
    name: str,
    dropout: float | None,
) -> LoadedModel:
    """Check a live model, which keeps its weights, its type and its place."""
    types = {parameter.dtype for parameter in model.parameters()}
    if types != {torch.float32}:
        found = ", ".join(sorted(str(kind).removeprefix("torch.") for kind in types))
        raise ModelError(
            f"The live model has weights in {found}; master weights are float32: load it with "
            "from_pretrained(..., dtype=torch.float32), or call model.float()."
        )
    if not callable(getattr(model, "get_input_embeddings", None)):
        raise ModelError(
            f"A {type(model).__name__} is not a transformers model: give one made by "
            "AutoModelForCausalLM or AutoModelForMaskedLM."
        )
    if dropout is not None:
        raise ConfigError(["A live model keeps its dropout: set it where you make the model."])
    adapter = model if hasattr(model, "peft_config") and hasattr(model, "get_base_model") else None
    inner: Any = model if adapter is None else adapter.get_base_model()  # type: ignore[operator]
    made_for = live_objective(inner, objective, name)
    if made_for == "causal":
        check_causality(inner, name)
    return LoadedModel(inner, tokenizer, name, made_for, adapter=adapter)


def origin(config: ModelConfig, loaded: LoadedModel) -> str | None:
    """Return the name by which the model without its adapter can be loaded again, if any."""
    if not config.name.startswith(LIVE):
        return config.name
    path = str(getattr(loaded.model.config, "name_or_path", ""))
    return str(Path(path).absolute()) if Path(path).is_dir() and path else path or None


def check_vocabulary(loaded: LoadedModel) -> None:
    """Refuse a tokenizer that makes ids the model's embedding has no row for."""
    rows = embedding_rows(loaded.model)
    used = sample_ids(loaded.tokenizer, loaded.name)  # a template has ids of its own
    highest = max([*loaded.tokenizer.get_vocab().values(), *used])
    if highest >= rows:
        raise ModelError(
            f"The tokenizer makes ids up to {highest}, but the embedding of {loaded.name} has "
            f"{rows} rows: give the model's own tokenizer with --tokenizer, or a model with at "
            f"least {highest + 1} rows."
        )


def fitting_block_size(block_size: int | None, loaded: LoadedModel) -> int:
    """Return the block size to use, refusing one longer than the model's positions."""
    limit = loaded.max_positions
    if block_size is None:
        return min(DEFAULT_BLOCK_SIZE, limit or DEFAULT_BLOCK_SIZE)
    if limit is not None and block_size > limit:
        raise ConfigError(
            [
                f"--block-size {block_size} is above the {limit} positions of {loaded.name}: "
                f"give --block-size {limit} or less."
            ]
        )
    return block_size
