"""The causal families in Keras: GPT-2, and Llama with Qwen 2 and 3."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from nextfill.keras_engine.attention import (
    Attention,
    AttentionMask,
    Rotation,
    rotary_frequencies,
)
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
