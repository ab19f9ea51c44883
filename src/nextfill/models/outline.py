"""A model without its weights: what a comparison asks of every model before it scores the first."""

from __future__ import annotations

from nextfill.config import ModelConfig, Objective
from nextfill.models.adapters import lineage
from nextfill.models.live import NOTHING_LIVE, Live
from nextfill.models.load import check_vocabulary, load_model
from nextfill.models.loaded import LoadedModel
from nextfill.models.pretrained import read_outline
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
    first, *others = lineage(config.name, config.revision)
    whole = (others or [first])[-1]  # an adapter changes no size that is asked for
    read = read_outline(  # before others are scored for hours
        whole.folder, config.name, objective=objective, trust_remote_code=config.trust_remote_code
    )
    if read.model is None:  # only its own code can make it
        return load_model(config, objective, live=live)
    loaded = LoadedModel(read.model, tokenizer, config.name, read.objective, first.revision)
    check_vocabulary(loaded)
    return loaded
