"""ModernBERT in Keras: a masked family with rotary positions and windows in some layers."""

from __future__ import annotations

from typing import Any

from keras import ops

from nextfill.keras_engine.attention import (
    Attention,
    AttentionMask,
    Bias,
    Rotation,
    rotary_frequencies,
)
from nextfill.keras_engine.named_layers import (
    ACTIVATIONS,
    dense,
    dropout,
    heads,
    joined,
    layer_name,
    layer_norm,
    tokens_of,
)


def modernbert(config: Any, inputs: tuple[Any, Any, Any]) -> Any:
    """Return the logits of a ModernBERT.

    Source:
        Warner et al. 2024, Smarter, Better, Faster, Longer: A Modern Bidirectional Encoder.
    """
    ids, positions, documents = inputs
    size, num_heads = config.hidden_size, config.num_attention_heads
    masks, rotations = {}, {}
    for kind in sorted(set(config.layer_types)):
        masks[kind] = AttentionMask(
            causal=False,
            window=config.sliding_window if kind == "sliding_attention" else None,
            name=layer_name(f"attention_mask.{kind}"),
        )(documents)
        rotations[kind] = rotary_frequencies(config, kind)

    def norm(module: str) -> Any:
        return layer_norm(module, config.norm_eps, bias=config.norm_bias)

    tokens = tokens_of(config, "model.embeddings.tok_embeddings")
    x = norm("model.embeddings.norm")(tokens(ids))
    x = dropout(config.embedding_dropout, "model.embeddings")(x)
    activation = ACTIVATIONS[config.hidden_activation]
    for number, kind in enumerate(config.layer_types):
        name = f"model.layers.{number}"
        frequencies, factor = rotations[kind]
        rotation = Rotation(
            frequencies=frequencies, scale=factor, name=layer_name(f"{name}.rotation")
        )
        attention = Attention(
            num_heads=num_heads,
            num_kv_heads=num_heads,
            scale=(size // num_heads) ** -0.5,
            dropout=config.attention_dropout,
            name=layer_name(f"{name}.attention"),
        )
        y = norm(f"{name}.attn_norm")(x) if number else x  # the embeddings are normalised already
        y = dense(f"{name}.attn.Wqkv", 3 * size, bias=config.attention_bias)(y)
        query, key, value = (
            heads(one, num_heads, size // num_heads) for one in ops.split(y, 3, axis=-1)
        )
        y = attention(rotation(query, positions), rotation(key, positions), value, masks[kind])
        y = dense(f"{name}.attn.Wo", size, bias=config.attention_bias)(joined(y, size))
        x = x + dropout(config.attention_dropout, f"{name}.attn")(y)
        y = norm(f"{name}.mlp_norm")(x)
        y = dense(f"{name}.mlp.Wi", 2 * config.intermediate_size, bias=config.mlp_bias)(y)
        wide, gate = ops.split(y, 2, axis=-1)
        y = dropout(config.mlp_dropout, f"{name}.mlp")(activation(wide) * gate)
        x = x + dense(f"{name}.mlp.Wo", size, bias=config.mlp_bias)(y)
    x = norm("model.final_norm")(x)
    x = dense("head.dense", size, bias=config.classifier_bias)(x)
    x = norm("head.norm")(ACTIVATIONS[config.classifier_activation](x))
    logits = tokens(x, reverse=True)
    return Bias(name=layer_name("decoder"))(logits) if config.decoder_bias else logits
