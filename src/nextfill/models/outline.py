"""A model without its weights: what a comparison asks of every model before it scores the first."""

from __future__ import annotations

import torch

from nextfill.config import ModelConfig, Objective
from nextfill.models.adapters import base_of
from nextfill.models.live import NOTHING_LIVE, Live
from nextfill.models.load import check_vocabulary, load_model
from nextfill.models.loaded import LoadedModel
from nextfill.models.location import model_folder
from nextfill.models.objective import auto_class, choose_objective
from nextfill.models.pretrained import check_weight_files
from nextfill.models.probes import REFUSALS
from nextfill.models.tokenizer import SCRATCH, load_tokenizer


def outline_model(
    config: ModelConfig, objective: Objective | None = None, *, live: Live = NOTHING_LIVE
) -> LoadedModel:
    """Get a model's shape, objective and tokenizer; only one that needs it has weights read.

    Args:
        config: The model section.
        objective: What it is to be used for; None for what it was made for.
        live: A model or tokenizer that the program holds already.

    Returns:
        A model whose parameters have sizes and no memory; a live or random one is whole.

    Raises:
        ModelError: If it is for another objective, its tokenizer does not fit, or its weights
            are no safetensors.
    """
    if live.model is not None or config.name.startswith(SCRATCH):
        return load_model(config, objective, live=live)
    tokenizer = load_tokenizer(config, live)
    folder, revision = model_folder(config.name, config.revision, kind="model")
    while (base := base_of(folder)) is not None:  # an adapter changes no size that is asked for
        folder, _ = model_folder(*base, kind="model")
    check_weight_files(config.name, folder)  # before others are scored for hours
    try:
        model, made_for = _without_weights(config, str(folder), objective)
    except (*REFUSALS, OSError):  # its code wants numbers; and what is wrong is told on loading
        return load_model(config, objective, live=live)
    loaded = LoadedModel(model, tokenizer, config.name, made_for, revision)
    check_vocabulary(loaded)
    return loaded


def _without_weights(
    config: ModelConfig, folder: str, objective: Objective | None
) -> tuple[torch.nn.Module, Objective]:
    from transformers import AutoConfig

    shape = AutoConfig.from_pretrained(folder, trust_remote_code=config.trust_remote_code)
    made_for = choose_objective(shape, objective, config.name)
    with torch.device("meta"):
        made = auto_class(made_for).from_config(shape, trust_remote_code=config.trust_remote_code)
    return made, made_for
