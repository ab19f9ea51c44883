"""Keras layers by the names of transformers' modules, and activations by its names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras
from keras import ops

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


@keras.saving.register_keras_serializable("nextfill")
class TokenEmbedding(keras.layers.ReversibleEmbedding):
    """The embedding of tokens, which in reverse gives the logits.

    Looking up the padding token does not train its row, as with transformers' embeddings. That
    counts where the end of a text is the padding token, too.

    Args:
        padding_id: The padding token, None where there is none.
    """

    def __init__(self, *numbers: int, padding_id: int | None = None, **keywords: Any) -> None:
        super().__init__(*numbers, **keywords)
        self.padding_id = padding_id

    def call(self, inputs: Any, reverse: bool = False) -> Any:
        """Return the rows of tokens, or in reverse the logits of rows."""
        found = super().call(inputs, reverse=reverse)
        if reverse or self.padding_id is None:
            return found
        is_padding = ops.equal(inputs, self.padding_id)[..., None]
        return ops.where(is_padding, ops.stop_gradient(found), found)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make it."""
        return {**super().get_config(), "padding_id": self.padding_id}


def tokens_of(config: Any, module: str) -> TokenEmbedding:
    """Return the embedding of tokens by a configuration; GPT-2's has no row that is not trained."""
    padding = None if config.model_type == "gpt2" else config.pad_token_id
    return TokenEmbedding(
        config.vocab_size,
        config.hidden_size,
        padding_id=None if padding is None else padding % config.vocab_size,
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
