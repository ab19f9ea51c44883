"""Sizes of a model, read the same way from any architecture."""

from __future__ import annotations

from torch import Tensor, nn


def embedding_rows(model: nn.Module) -> int:
    """Return how many token ids the model's input embedding has a row for."""
    embedding: nn.Module = model.get_input_embeddings()  # type: ignore[operator]
    weight: Tensor = embedding.weight  # type: ignore[assignment]
    return weight.shape[0]


def max_positions(model: nn.Module) -> int | None:
    """Return the longest input the model's positions allow, or None where nothing bounds it."""
    for key in ("max_position_embeddings", "n_positions", "n_ctx"):
        value = getattr(model.config, key, None)
        if isinstance(value, int) and value > 0:
            return value
    return None


def bodies(model: nn.Module) -> list[nn.Module]:
    """List the modules that may stand before the model's head, the outermost first.

    Most heads take the output of the base model; some take that of a decoder inside it.
    """
    decoder = getattr(model, "get_decoder", lambda: None)()
    candidates = (getattr(model, "base_model", None), decoder)
    found = [m for m in candidates if isinstance(m, nn.Module) and m is not model]
    return list(dict.fromkeys(found))
