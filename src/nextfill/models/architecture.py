"""Sizes and parts of a model, found the same way in any architecture."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from nextfill.core.errors import ConfigError, ModelError

_WINDOWS = ("sliding_window", "attention_window_size", "window_size")
"""Settings for the reach of some layers' attention, in tokens."""

_CHUNKS = (
    "attention_chunk_size",
    "local_attn_chunk_length",
    "lsh_attn_chunk_length",
    "index_topk",
    "indexer_budget",
)
"""Settings for the length from which on a text is looked at in parts, or only at some of it."""

LONGEST_TEXT = 1024
"""Texts of a probe are at most this long, where a model looks at long ones in another way."""


def text_config(config: Any) -> Any:
    """Return the configuration of the part that reads text."""
    return config.get_text_config(decoder=True)


def configs_of(model: nn.Module) -> list[Any]:
    """Return the configurations of a model's parts and those within them, each once."""
    found: dict[int, Any] = {}
    waiting = [vars(module).get("config") for module in model.modules()]
    while waiting:
        config = waiting.pop(0)
        if hasattr(config, "to_dict") and id(config) not in found:
            found[id(config)] = config
            waiting += [value for value in vars(config).values() if hasattr(value, "to_dict")]
    return list(found.values())


def setting(config: Any, key: str) -> Any:
    """Return a setting, or None where a configuration has none or one for each layer."""
    try:
        return getattr(config, key, None)
    except RuntimeError:  # of settings that are not the same in every layer
        return None


def embedding_rows(model: nn.Module) -> int:
    """Return the number of token ids that a model's input embedding has a row for."""
    embedding = model.get_input_embeddings()  # type: ignore[operator]
    weight = getattr(embedding, "weight", None)
    if not isinstance(weight, Tensor):
        raise ModelError(
            f"A {type(model).__name__} has no table with a row for each token: give a language "
            "model that reads token ids."
        )
    return weight.shape[0]


def max_positions(model: nn.Module) -> int | None:
    """Return the longest input the model's positions allow, or None where nothing bounds it."""
    config = text_config(model.config)
    for key in ("max_position_embeddings", "n_positions", "n_ctx"):
        value = setting(config, key)
        if isinstance(value, int) and value > 0:
            return value - first_position(model)
    return None


def first_position(model: nn.Module) -> int:
    """Return the position id of a text's first token.

    It is 0 but where the table of positions has a row for padding, as RoBERTa's has: there the
    tokens are counted from behind that row, and so many positions fewer can be used.
    """
    rows = setting(text_config(model.config), "max_position_embeddings")
    for name, module in model.named_modules():
        padding = getattr(module, "padding_idx", None)
        weight = getattr(module, "weight", None)
        if "position" in name and padding is not None and isinstance(weight, Tensor):
            return int(padding) + 1 if weight.shape[0] == rows else 0
    return 0


def window_sizes(model: nn.Module) -> set[int]:
    """Return the windows, in tokens, of the layers that look at the nearest tokens alone."""
    config = text_config(model.config)
    # Where layers differ in some settings, each has a configuration.
    layers = config.per_layer_config if getattr(config, "is_heterogeneous", False) else ()
    found = {setting(one, key) for one in (config, *layers) for key in _WINDOWS}
    each = setting(config, "attention_window")  # Longformer's
    found |= set(each) if isinstance(each, list) else {each}
    return {size for size in found if isinstance(size, int) and size > 0}


def long_text_lengths(model: nn.Module) -> set[int]:
    """Return the lengths beyond which a text is looked at in another way than a short one.

    Chunked attention begins a second chunk there, an index leaves out all but the likeliest tokens,
    BigBird some of its blocks. What is right for a short text may be wrong for a longer one.
    """
    config = text_config(model.config)
    found = {setting(config, key) for key in _CHUNKS}
    hashed = setting(config, "lsh_attn_chunk_length")
    if isinstance(hashed, int):
        found.add(3 * hashed)  # a chunk of likely tokens sees its neighbours: all of two or three
    if setting(config, "attention_type") == "block_sparse":
        blocks = 5 + 2 * (setting(config, "num_random_blocks") or 0)
        found.add(blocks * (setting(config, "block_size") or 0))
    return {length for length in found if isinstance(length, int) and length > 0}


def windows_by_kind(model: nn.Module) -> tuple[tuple[str, int | None], ...]:
    """Return the window of each kind of layer, None for no limit; empty if there is one kind."""
    config = text_config(model.config)
    kinds, window = setting(config, "layer_types"), setting(config, "sliding_window")
    if not kinds or not isinstance(window, int) or window < 1:
        return ()
    return tuple((kind, window if "sliding" in kind else None) for kind in sorted(set(kinds)))


def bodies(model: nn.Module) -> list[nn.Module]:
    """Return the modules whose output the model's head may take, the outermost first.

    Most heads take the output of the base model; some take that of a decoder inside it.
    """
    decoder = getattr(model, "get_decoder", lambda: None)()
    candidates = (getattr(model, "base_model", None), decoder)
    found = [m for m in candidates if isinstance(m, nn.Module) and m is not model]
    return list(dict.fromkeys(found))


def set_dropout(config: Any, dropout: float | None) -> None:
    """Set every kind of dropout in a model's config and those within it; None leaves them."""
    if dropout is None:
        return
    for key, value in config.to_dict().items():
        if "drop" in key and isinstance(value, int | float) and not isinstance(value, bool):
            setattr(config, key, dropout)
    for value in list(vars(config).values()):
        if hasattr(value, "get_text_config"):
            set_dropout(value, dropout)


def checkpoint_gradients(model: nn.Module) -> None:
    """Have a model compute its activations again in the backward pass instead of keeping them.

    Source:
        Chen et al. 2016, Training Deep Nets with Sublinear Memory Cost.
    """
    try:
        model.activation_checkpointing_enable({"use_reentrant": False})  # type: ignore[operator]
    except ValueError as error:
        raise ConfigError(
            [f"--gradient-checkpointing: a {type(model).__name__} does not support it."]
        ) from error
