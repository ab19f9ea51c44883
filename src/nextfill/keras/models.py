"""Language models of transformers' kinds in plain Keras, each layer named as transformers names it.

Every model is functional: three inputs, ``[B, T] int32`` each (``input_ids``, ``position_ids``,
which restart with each document, and ``document_ids``, -1 on padding), and logits out,
``[B, T, V]``. Documents packed into one row do not see one another.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import keras
from keras import ops

from nextfill.core.errors import ModelError
from nextfill.keras.layers import Attention, AttentionMask, Bias, Rotation

INPUTS = ("input_ids", "position_ids", "document_ids")

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


def layer_norm(module: str, epsilon: float) -> keras.layers.LayerNormalization:
    """Return the layer normalisation of a module."""
    return keras.layers.LayerNormalization(epsilon=epsilon, name=layer_name(module))


def heads(x: Any, num_heads: int, size: int) -> Any:
    """Split the last axis into heads, ``[B, T, heads, size]``."""
    return keras.layers.Reshape((-1, num_heads, size))(x)


def joined(x: Any, size: int) -> Any:
    """Join heads, ``[B, T, size]``."""
    return keras.layers.Reshape((-1, size))(x)


def gpt2(config: Any, inputs: tuple[Any, Any, Any]) -> Any:
    """Return the logits of a GPT-2.

    Source:
        Radford et al. 2019, Language Models are Unsupervised Multitask Learners.
    """
    ids, positions, documents = inputs
    size, num_heads = config.n_embd, config.n_head
    mask = AttentionMask(causal=True, name="attention_mask")(documents)
    tokens = tokens_of(config, "transformer.wte")
    places = embedding("transformer.wpe", config.n_positions, size)
    x = dropout(config.embd_pdrop, "transformer.wte")(tokens(ids) + places(positions))
    activation = ACTIVATIONS[config.activation_function]
    for number in range(config.n_layer):
        name = f"transformer.h.{number}"
        scale = (size // num_heads) ** -0.5 if config.scale_attn_weights else 1.0
        if config.scale_attn_by_inverse_layer_idx:
            scale /= number + 1
        attention = Attention(
            num_heads=num_heads,
            num_kv_heads=num_heads,
            scale=scale,
            dropout=config.attn_pdrop,
            name=layer_name(f"{name}.attn"),
        )
        y = layer_norm(f"{name}.ln_1", config.layer_norm_epsilon)(x)
        y = dense(f"{name}.attn.c_attn", 3 * size)(y)
        parts = [heads(one, num_heads, size // num_heads) for one in ops.split(y, 3, axis=-1)]
        y = dense(f"{name}.attn.c_proj", size)(joined(attention(*parts, mask), size))
        x = x + dropout(config.resid_pdrop, f"{name}.attn")(y)
        y = layer_norm(f"{name}.ln_2", config.layer_norm_epsilon)(x)
        y = activation(dense(f"{name}.mlp.c_fc", config.n_inner or 4 * size)(y))
        y = dense(f"{name}.mlp.c_proj", size)(y)
        x = x + dropout(config.resid_pdrop, f"{name}.mlp")(y)
    x = layer_norm("transformer.ln_f", config.layer_norm_epsilon)(x)
    return tokens(x, reverse=True)


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
    """The numbers of a BERT-like model that its kinds keep under names, or constants, of their own."""

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
    """Return the row of the table of positions of a text's first token; RoBERTa has one for padding."""
    return int(config.pad_token_id) + 1 if config.model_type == "roberta" else 0


def llama(config: Any, inputs: tuple[Any, Any, Any]) -> Any:
    """Return the logits of a Llama, a Qwen 2 or a Qwen 3.

    Source:
        Touvron et al. 2023, LLaMA; Yang et al. 2024 and 2025, Qwen 2 and 3.
    """
    ids, positions, documents = inputs
    size, num_heads = config.hidden_size, config.num_attention_heads
    num_kv_heads = config.num_key_value_heads
    head_size = getattr(config, "head_dim", None) or size // num_heads
    biases = _llama_biases(config)
    mask = AttentionMask(causal=True, name="attention_mask")(documents)
    tokens = tokens_of(config, "model.embed_tokens")
    frequencies, factor = rotary_frequencies(config)
    x = tokens(ids)
    activation = ACTIVATIONS[config.hidden_act]

    def rms_norm(module: str) -> keras.layers.RMSNormalization:
        name = layer_name(module)
        return keras.layers.RMSNormalization(epsilon=config.rms_norm_eps, name=name)

    for number in range(config.num_hidden_layers):
        name = f"model.layers.{number}"
        rotation = Rotation(
            frequencies=frequencies, scale=factor, name=layer_name(f"{name}.rotation")
        )
        attention = Attention(
            num_heads=num_heads,
            num_kv_heads=num_kv_heads,
            scale=head_size**-0.5,
            dropout=config.attention_dropout,
            name=layer_name(f"{name}.attention"),
        )
        y = rms_norm(f"{name}.input_layernorm")(x)
        query, key, value = (
            heads(
                dense(f"{name}.self_attn.{part}_proj", count * head_size, bias=biases[part])(y),
                count,
                head_size,
            )
            for part, count in (("q", num_heads), ("k", num_kv_heads), ("v", num_kv_heads))
        )
        if config.model_type == "qwen3":
            query = rms_norm(f"{name}.self_attn.q_norm")(query)
            key = rms_norm(f"{name}.self_attn.k_norm")(key)
        y = attention(rotation(query, positions), rotation(key, positions), value, mask)
        y = joined(y, num_heads * head_size)
        x = x + dense(f"{name}.self_attn.o_proj", size, bias=biases["o"])(y)
        y = rms_norm(f"{name}.post_attention_layernorm")(x)
        wide, bias = config.intermediate_size, biases["mlp"]
        gate = activation(dense(f"{name}.mlp.gate_proj", wide, bias=bias)(y))
        y = gate * dense(f"{name}.mlp.up_proj", wide, bias=bias)(y)
        x = x + dense(f"{name}.mlp.down_proj", size, bias=bias)(y)
    return tokens(rms_norm("model.norm")(x), reverse=True)


def _llama_biases(config: Any) -> dict[str, bool]:
    """Return whether each projection has a bias; Qwen 2 has three of its own."""
    if config.model_type == "qwen2":
        return {"q": True, "k": True, "v": True, "o": False, "mlp": False}
    attention = bool(config.attention_bias)
    return {
        **dict.fromkeys("qkvo", attention),
        "mlp": bool(getattr(config, "mlp_bias", False)),
    }


def rotary_frequencies(config: Any) -> tuple[list[float], float]:
    """Return the angles of a position, in radians, and their factor, by transformers' own rules."""
    import torch
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    parameters = config.rope_parameters
    kind = parameters.get("rope_type", "default")
    if kind == "default":
        head_size = getattr(config, "head_dim", None)
        head_size = head_size or config.hidden_size // config.num_attention_heads
        exponents = torch.arange(0, head_size, 2, dtype=torch.int64).float() / head_size
        return (1.0 / parameters["rope_theta"] ** exponents).tolist(), 1.0
    frequencies, factor = ROPE_INIT_FUNCTIONS[kind](config, torch.device("cpu"))
    return frequencies.tolist(), float(factor)


KINDS: Mapping[str, Callable[[Any, tuple[Any, Any, Any]], Any]] = {
    "gpt2": gpt2,
    "bert": lambda config, inputs: encoder(config, inputs, BERT),
    "roberta": lambda config, inputs: encoder(config, inputs, ROBERTA),
    "distilbert": lambda config, inputs: encoder(config, inputs, DISTILBERT),
    "llama": llama,
    "qwen2": llama,
    "qwen3": llama,
}
"""Makers of models by transformers' type."""

MASKED = ("bert", "roberta", "distilbert")
"""The types of masked models."""

STATIC_ROTATIONS = ("default", "linear", "llama3", "yarn")
"""Rotary embeddings whose angles do not depend on the text's length."""


@keras.saving.register_keras_serializable("nextfill")
class LanguageModel(keras.Model):  # type: ignore[misc]
    """A model of transformers in Keras, with the configuration that it was made by.

    Args:
        config: The configuration of transformers.
        precision: ``fp32``, or ``bf16`` where its layers compute in bfloat16.
        tokenizer: The tokenizer that it was loaded with, None if it was made of a live model.
    """

    config: Any
    precision: str
    tokenizer: Any

    def get_config(self) -> dict[str, Any]:
        """Return the configuration of transformers that it is made of again."""
        return {"transformers": self.config.to_dict(), "precision": self.precision}

    @classmethod
    def from_config(cls, config: Mapping[str, Any], custom_objects: Any = None) -> LanguageModel:
        """Return the model of `get_config`, with random weights."""
        from transformers import AutoConfig

        settings = dict(config["transformers"])
        made = AutoConfig.for_model(settings.pop("model_type"), **settings)
        return build_model(made, config["precision"])

    def stand_in(self) -> Any:
        """Return a model of transformers, for scoring and decoding, that has this one compute."""
        from nextfill.keras.bridge import computed_by

        return computed_by(self)


def build_model(
    config: Any, precision: str = "fp32", tokenizer: Any = None
) -> LanguageModel:
    """Return a model with random weights by a configuration of transformers.

    Weights are float32; with ``bf16`` layers compute in bfloat16, and logits come in float32.
    """
    if problem := config_problem(config):
        raise ModelError(f"A {config.model_type} model in Keras: {problem}.")
    inputs = tuple(keras.Input((None,), dtype="int32", name=name) for name in INPUTS)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16" if precision == "bf16" else "float32")
    try:
        logits = ops.cast(KINDS[config.model_type](config, inputs), "float32")
    finally:
        keras.config.set_dtype_policy(before)
    model = LanguageModel(dict(zip(INPUTS, inputs, strict=True)), logits, name=config.model_type)
    object.__setattr__(model, "config", config)  # which Keras would turn into a layer's state
    object.__setattr__(model, "tokenizer", tokenizer)
    model.precision = precision
    return model


def config_problem(config: Any) -> str | None:
    """Describe the first setting of a configuration that these models do not hold exactly."""
    kind = config.model_type
    if kind not in KINDS:
        return f"found the type {kind}; there are {', '.join(KINDS)}"
    settings = ("activation_function", "hidden_act", "activation")
    for name in settings:
        value = getattr(config, name, None)
        if value is not None and value not in ACTIVATIONS:
            return f"{name} is {value!r}; there are {', '.join(ACTIVATIONS)}"
    for name in ("is_decoder", "add_cross_attention", "use_bidirectional_attention"):
        if getattr(config, name, False):
            return f"{name} is set"
    if getattr(config, "tie_word_embeddings", True) is False and kind in MASKED:
        return "tie_word_embeddings is false, and a head of its own is not made here"
    if any("sliding" in one for one in getattr(config, "layer_types", None) or ()):
        return "some layers look at a window only (layer_types)"
    rope = (getattr(config, "rope_parameters", None) or {}).get("rope_type", "default")
    if rope not in STATIC_ROTATIONS:
        return f"rope_type is {rope!r}; there are {', '.join(STATIC_ROTATIONS)}"
    return None
