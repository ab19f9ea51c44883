"""Sizes and parts of a model, found the same way in any architecture."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from nextfill.errors import ConfigError


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
            return value - first_position(model)
    return None


def first_position(model: nn.Module) -> int:
    """Return the position id of a text's first token.

    It is 0 but where the table of positions has a row for padding, as RoBERTa's has: there the
    tokens are counted from behind that row, and so many positions fewer can be used.
    """
    rows = getattr(model.config, "max_position_embeddings", None)
    for name, module in model.named_modules():
        padding = getattr(module, "padding_idx", None)
        weight = getattr(module, "weight", None)
        if "position" in name and padding is not None and isinstance(weight, Tensor):
            return int(padding) + 1 if weight.shape[0] == rows else 0
    return 0


def bodies(model: nn.Module) -> list[nn.Module]:
    """List the modules that may stand before the model's head, the outermost first.

    Most heads take the output of the base model; some take that of a decoder inside it.
    """
    decoder = getattr(model, "get_decoder", lambda: None)()
    candidates = (getattr(model, "base_model", None), decoder)
    found = [m for m in candidates if isinstance(m, nn.Module) and m is not model]
    return list(dict.fromkeys(found))


def set_dropout(shape: Any, dropout: float | None) -> None:
    """Set every kind of dropout in a model's config; None leaves them."""
    if dropout is None:
        return
    for key, value in shape.to_dict().items():
        if "drop" in key and isinstance(value, int | float) and not isinstance(value, bool):
            setattr(shape, key, dropout)


def checkpoint_gradients(model: nn.Module) -> None:
    """Have a model compute its activations again in the backward pass instead of keeping them.

    Raises:
        ConfigError: If it cannot.

    Source:
        Chen et al. 2016, Training Deep Nets with Sublinear Memory Cost.
    """
    try:
        model.activation_checkpointing_enable({"use_reentrant": False})  # type: ignore[operator]
    except ValueError as error:
        raise ConfigError(
            [f"--gradient-checkpointing: a {type(model).__name__} does not support it."]
        ) from error
