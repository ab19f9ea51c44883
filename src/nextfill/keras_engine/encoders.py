"""The masked families in Keras: BERT, RoBERTa and DistilBERT."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from keras import ops

from nextfill.keras_engine.attention import Attention, AttentionMask, Bias
from nextfill.keras_engine.named_layers import (
    ACTIVATIONS,
    dense,
    dropout,
    embedding,
    heads,
    joined,
    layer_name,
    layer_norm,
    tokens_of,
)


@dataclass(frozen=True)
class EncoderNames:
    """The names of a BERT-like model's modules in transformers, and of its settings."""

    body: str
    layer: str
    query: str
    key: str
    value: str
    attended: str
    attention_norm: str
    wide: str
    narrow: str
    output_norm: str
    head_dense: str
    head_norm: str
    head_bias: str


BERT = EncoderNames(
    body="bert",
    layer="encoder.layer",
    query="attention.self.query",
    key="attention.self.key",
    value="attention.self.value",
    attended="attention.output.dense",
    attention_norm="attention.output.LayerNorm",
    wide="intermediate.dense",
    narrow="output.dense",
    output_norm="output.LayerNorm",
    head_dense="cls.predictions.transform.dense",
    head_norm="cls.predictions.transform.LayerNorm",
    head_bias="cls.predictions",
)
ROBERTA = EncoderNames(
    **{
        **vars(BERT),
        "body": "roberta",
        "head_dense": "lm_head.dense",
        "head_norm": "lm_head.layer_norm",
        "head_bias": "lm_head",
    }
)
DISTILBERT = EncoderNames(
    body="distilbert",
    layer="transformer.layer",
    query="attention.q_lin",
    key="attention.k_lin",
    value="attention.v_lin",
    attended="attention.out_lin",
    attention_norm="sa_layer_norm",
    wide="ffn.lin1",
    narrow="ffn.lin2",
    output_norm="output_layer_norm",
    head_dense="vocab_transform",
    head_norm="vocab_layer_norm",
    head_bias="vocab_projector",
)


def encoder(config: Any, inputs: tuple[Any, Any, Any], names: EncoderNames) -> Any:
    """Return the logits of a BERT-like masked model.

    Source:
        Devlin et al. 2019, BERT; Liu et al. 2019, RoBERTa; Sanh et al. 2019, DistilBERT.
    """
    ids, positions, documents = inputs
    size, num_heads = config.hidden_size, config.num_attention_heads
    shape = _encoder_shape(config)
    mask = AttentionMask(causal=False, name="attention_mask")(documents)
    embeddings = f"{names.body}.embeddings"
    tokens = tokens_of(config, f"{embeddings}.word_embeddings")
    places = embedding(f"{embeddings}.position_embeddings", config.max_position_embeddings, size)
    x = tokens(ids) + places(positions + shape.first_position)
    if shape.num_types:
        types = embedding(f"{embeddings}.token_type_embeddings", shape.num_types, size)
        x = x + types(ops.zeros_like(ids))
    x = layer_norm(f"{embeddings}.LayerNorm", shape.epsilon)(x)
    x = dropout(shape.dropout, embeddings)(x)
    activation = ACTIVATIONS[shape.activation]
    for number in range(config.num_hidden_layers):
        name = f"{names.body}.{names.layer}.{number}"
        attention = Attention(
            num_heads=num_heads,
            num_kv_heads=num_heads,
            scale=(size // num_heads) ** -0.5,
            dropout=shape.attention_dropout,
            name=layer_name(f"{name}.attention"),
        )
        parts = [
            heads(dense(f"{name}.{one}", size)(x), num_heads, size // num_heads)
            for one in (names.query, names.key, names.value)
        ]
        y = dense(f"{name}.{names.attended}", size)(joined(attention(*parts, mask), size))
        y = dropout(shape.attended_dropout, f"{name}.attention")(y)
        x = layer_norm(f"{name}.{names.attention_norm}", shape.norm_epsilon)(x + y)
        y = activation(dense(f"{name}.{names.wide}", shape.width)(x))
        y = dropout(shape.dropout, f"{name}.output")(dense(f"{name}.{names.narrow}", size)(y))
        x = layer_norm(f"{name}.{names.output_norm}", shape.norm_epsilon)(x + y)
    x = ACTIVATIONS[shape.head_activation](dense(names.head_dense, size)(x))
    x = layer_norm(names.head_norm, shape.norm_epsilon)(x)
    return Bias(name=layer_name(names.head_bias))(tokens(x, reverse=True))


@dataclass(frozen=True)
class EncoderShape:
    """The numbers of a BERT-like model that its kinds name in ways of their own."""

    width: int
    activation: str
    head_activation: str
    dropout: float
    attended_dropout: float
    attention_dropout: float
    epsilon: float
    norm_epsilon: float
    num_types: int
    first_position: int


def _encoder_shape(config: Any) -> EncoderShape:
    if config.model_type == "distilbert":
        return EncoderShape(
            width=config.hidden_dim,
            activation=config.activation,
            head_activation=config.activation,
            dropout=config.dropout,
            attended_dropout=0.0,
            attention_dropout=config.attention_dropout,
            epsilon=1e-12,
            norm_epsilon=1e-12,
            num_types=0,
            first_position=0,
        )
    is_roberta = config.model_type == "roberta"
    return EncoderShape(
        width=config.intermediate_size,
        activation=config.hidden_act,
        head_activation="gelu" if is_roberta else config.hidden_act,
        dropout=config.hidden_dropout_prob,
        attended_dropout=config.hidden_dropout_prob,
        attention_dropout=config.attention_probs_dropout_prob,
        epsilon=config.layer_norm_eps,
        norm_epsilon=config.layer_norm_eps,
        num_types=config.type_vocab_size,
        first_position=first_position(config),
    )


def first_position(config: Any) -> int:
    """Return the row of a text's first token in the table of positions, 0 but for RoBERTa."""
    return int(config.pad_token_id) + 1 if config.model_type == "roberta" else 0
