"""Keras layers by the names of transformers' modules, and activations by its names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras

ACTIVATIONS: Mapping[str, Callable[[Any], Any]] = {
    "gelu": lambda x: keras.activations.gelu(x, approximate=False),
    "gelu_new": lambda x: keras.activations.gelu(x, approximate=True),
    "gelu_pytorch_tanh": lambda x: keras.activations.gelu(x, approximate=True),
    "relu": keras.activations.relu,
    "silu": keras.activations.silu,
    "swish": keras.activations.silu,
}
"""Activations by transformers' names."""


def layer_name(module: str) -> str:
    """Return the name of the layer of a module; PyTorch takes no dots in names, nor Keras slashes.

    Example:
        >>> layer_name("transformer.h.0.attn.c_attn")
        'transformer-h-0-attn-c_attn'
    """
    return module.replace(".", "-")


def dense(module: str, size: int, *, bias: bool = True) -> keras.layers.Dense:
    """Return the projection of a module."""
    return keras.layers.Dense(size, use_bias=bias, name=layer_name(module))


def dropout(rate: float, module: str) -> keras.layers.Dropout:
    """Return the dropout after a module."""
    return keras.layers.Dropout(rate, name=layer_name(f"{module}.dropout"))


def embedding(module: str, rows: int, size: int) -> keras.layers.Embedding:
    """Return the embedding of a module."""
    return keras.layers.Embedding(rows, size, name=layer_name(module))


def tokens_of(config: Any, module: str) -> keras.layers.ReversibleEmbedding:
    """Return the embedding of tokens, which in reverse gives the logits."""
    return keras.layers.ReversibleEmbedding(
        config.vocab_size,
        config.hidden_size,
        tie_weights=config.tie_word_embeddings,
        name=layer_name(module),
    )


def layer_norm(
    module: str, epsilon: float, *, bias: bool = True
) -> keras.layers.LayerNormalization:
    """Return the layer normalisation of a module."""
    return keras.layers.LayerNormalization(epsilon=epsilon, center=bias, name=layer_name(module))


def heads(x: Any, num_heads: int, size: int) -> Any:
    """Split the last axis into heads, ``[B, T, heads, size]``."""
    return keras.layers.Reshape((-1, num_heads, size))(x)


def joined(x: Any, size: int) -> Any:
    """Join heads, ``[B, T, size]``."""
    return keras.layers.Reshape((-1, size))(x)
