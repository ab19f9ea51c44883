"""Layers of transformers that Keras has not: attention between documents' own tokens, rotation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable("nextfill")
class AttentionMask(keras.layers.Layer):
    """The positions that each position may see, ``[B, 1, T, T] bool``.

    Those of its own document, by ``[B, T] int32`` document ids (-1 on padding), and in a causal
    model none after it.

    Args:
        causal: Whether it sees back only.
        window: How far it sees to either side, in tokens; None for no limit.
    """

    def __init__(self, *, causal: bool, window: int | None = None, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.causal, self.window = causal, window

    def call(self, document_ids: Any) -> Any:
        """Return the mask of a batch."""
        mask = ops.equal(document_ids[:, :, None], document_ids[:, None, :])
        places = ops.arange(ops.shape(document_ids)[1])
        distances = (places[:, None] - places[None, :])[None]
        if self.causal:
            mask = ops.logical_and(mask, distances >= 0)
        if self.window is not None:
            mask = ops.logical_and(mask, ops.abs(distances) <= self.window)
        return mask[:, None]

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make it."""
        return {**super().get_config(), "causal": self.causal, "window": self.window}


@keras.saving.register_keras_serializable("nextfill")
class Attention(keras.layers.Layer):
    """Scaled dot-product attention of several heads.

    Args:
        num_heads: Heads of the queries.
        num_kv_heads: Heads of keys and values, each of which serves as many queries.
        scale: Factor of the products of queries and keys.
        dropout: Share of the attention weights that a training step drops.

    Source:
        Vaswani et al. 2017, Attention Is All You Need; Ainslie et al. 2023, GQA.
    """

    def __init__(
        self, *, num_heads: int, num_kv_heads: int, scale: float, dropout: float, **keywords: Any
    ) -> None:
        super().__init__(**keywords)
        self.num_heads, self.num_kv_heads = num_heads, num_kv_heads
        self.scale, self.dropout = scale, dropout
        self._drop = keras.layers.Dropout(dropout)

    def call(self, queries: Any, keys: Any, values: Any, mask: Any, training: Any = None) -> Any:
        """Return what each position gathers, ``[B, T, heads, head size]``, as the queries are."""
        groups = self.num_heads // self.num_kv_heads
        if groups > 1:
            keys, values = ops.repeat(keys, groups, axis=2), ops.repeat(values, groups, axis=2)
        scores = ops.einsum("bthd,bshd->bhts", queries, keys) * self.scale
        scores = ops.cast(scores, "float32")
        scores = ops.where(mask, scores, ops.full_like(scores, -3.0e38))
        weights = ops.cast(ops.softmax(scores, axis=-1), queries.dtype)
        weights = self._drop(weights, training=training)
        return ops.einsum("bhts,bshd->bthd", weights, values)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make it."""
        names = ("num_heads", "num_kv_heads", "scale", "dropout")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


@keras.saving.register_keras_serializable("nextfill")
class Rotation(keras.layers.Layer):
    """Rotary position embedding: pairs of a head's numbers turned by angles of the position.

    Args:
        frequencies: Radians a position of each pair, ``[head size / 2]``.
        scale: Factor of what is turned, as YaRN has it.

    Source:
        Su et al. 2021, RoFormer; pairs are a half apart, as in transformers' Llama.
    """

    def __init__(
        self, *, frequencies: Sequence[float], scale: float = 1.0, **keywords: Any
    ) -> None:
        super().__init__(**keywords)
        self.frequencies, self.scale = tuple(frequencies), scale

    def call(self, heads: Any, positions: Any) -> Any:
        """Turn ``[B, T, heads, head size]`` by ``[B, T] int32`` positions."""
        angles = ops.cast(positions, "float32")[:, :, None] * ops.array(self.frequencies, "float32")
        cos = ops.concatenate([ops.cos(angles)] * 2, axis=-1)[:, :, None] * self.scale
        sin = ops.concatenate([ops.sin(angles)] * 2, axis=-1)[:, :, None] * self.scale
        first, second = ops.split(heads, 2, axis=-1)
        turned = ops.concatenate([-second, first], axis=-1)
        return heads * ops.cast(cos, heads.dtype) + turned * ops.cast(sin, heads.dtype)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make it."""
        return {**super().get_config(), "frequencies": self.frequencies, "scale": self.scale}


def rotary_frequencies(config: Any, layer_type: str | None = None) -> tuple[list[float], float]:
    """Return the angles of a position, in radians, and their factor, by transformers' own rules.

    Where each kind of layer has a rotation of its own, it is that of a kind.
    """
    import torch
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    parameters = (
        config.rope_parameters if layer_type is None else config.rope_parameters[layer_type]
    )
    kind = parameters.get("rope_type", "default")
    if kind == "default":
        head_size = getattr(config, "head_dim", None)
        head_size = head_size or config.hidden_size // config.num_attention_heads
        exponents = torch.arange(0, head_size, 2, dtype=torch.int64).float() / head_size
        return (1.0 / parameters["rope_theta"] ** exponents).tolist(), 1.0
    frequencies, factor = ROPE_INIT_FUNCTIONS[kind](
        config, torch.device("cpu"), layer_type=layer_type
    )
    return frequencies.tolist(), float(factor)


@keras.saving.register_keras_serializable("nextfill")
class Bias(keras.layers.Layer):
    """A trained number to add to each logit, as heads with tied weights have."""

    def build(self, shape: Sequence[int | None]) -> None:
        """Make the numbers."""
        self.bias = self.add_weight(shape=(shape[-1],), initializer="zeros", name="bias")

    def call(self, logits: Any) -> Any:
        """Return the logits, each with its own number added."""
        return logits + ops.cast(self.bias, logits.dtype)
