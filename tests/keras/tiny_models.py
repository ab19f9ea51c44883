"""Tiny models of every family that Keras has, all their weights random, and a run's settings."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers import (
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    BertConfig,
    DistilBertConfig,
    GPT2Config,
    LlamaConfig,
    ModernBertConfig,
    Qwen2Config,
    Qwen3Config,
    RobertaConfig,
)

from tests.keras.conftest import NAMES

VOCABULARY = 60
_ENCODER = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 64,
}
_LLAMA = {**_ENCODER, "num_key_value_heads": 2}
CONFIGS = {
    "gpt2": GPT2Config(
        vocab_size=VOCABULARY, n_embd=32, n_layer=2, n_head=4, n_positions=64, n_inner=40
    ),
    "gpt2 scaled by layer, untied": GPT2Config(
        vocab_size=VOCABULARY,
        n_embd=32,
        n_layer=2,
        n_head=4,
        n_positions=64,
        scale_attn_by_inverse_layer_idx=True,
        activation_function="relu",
        tie_word_embeddings=False,
        layer_norm_epsilon=1e-3,
    ),
    "bert": BertConfig(**_ENCODER),
    "roberta": RobertaConfig(**_ENCODER, type_vocab_size=1, layer_norm_eps=1e-5),
    "distilbert": DistilBertConfig(
        vocab_size=VOCABULARY, dim=32, n_layers=2, n_heads=4, hidden_dim=48
    ),
    "modernbert": ModernBertConfig(
        **_ENCODER,
        local_attention=6,
        layer_types=["full_attention", "sliding_attention"],
        pad_token_id=1,
    ),
    "modernbert, biased": ModernBertConfig(
        **_ENCODER,
        layer_types=["full_attention", "full_attention"],
        norm_bias=True,
        attention_bias=True,
        mlp_bias=True,
        classifier_bias=True,
        decoder_bias=False,
        pad_token_id=1,
    ),
    "llama": LlamaConfig(**_LLAMA, attention_bias=True, mlp_bias=True),
    "llama 3, tied": LlamaConfig(
        **_LLAMA,
        tie_word_embeddings=True,
        rope_parameters={
            "rope_type": "llama3",
            "rope_theta": 500_000.0,
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 32,
        },
    ),
    "llama, yarn": LlamaConfig(
        **_LLAMA,
        rope_parameters={
            "rope_type": "yarn",
            "rope_theta": 10_000.0,
            "factor": 4.0,
            "original_max_position_embeddings": 16,
        },
    ),
    "qwen2": Qwen2Config(**_LLAMA),
    "qwen3": Qwen3Config(**_LLAMA, head_dim=16),
}


assert tuple(CONFIGS) == NAMES


def torch_model(config: Any, *, scale: float = 0.1) -> nn.Module:
    """Return a model of transformers, every parameter random, norms and biases too."""
    is_masked = config.model_type.endswith("bert") or config.model_type == "roberta"
    kind = AutoModelForMaskedLM if is_masked else AutoModelForCausalLM
    model = kind.from_config(config).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.add_(noise * scale)
    return model
