"""A tiny random model of every type that transformers has for causal or masked text.

A type that is new to transformers is made small by the names of its settings, and enters by itself;
`SHAPES` holds what the names do not tell.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import nn
from transformers import (
    CONFIG_MAPPING,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    PreTrainedConfig,
    PreTrainedTokenizerFast,
)
from transformers.models.auto import modeling_auto

VOCABULARY = 100
WINDOW = 8
SPECIAL = ("<pad>", "<s>", "</s>", "<unk>", "<mask>")

_NAMES: dict[int, str] = {
    32: """
        hidden_size d_model n_embd emb_dim dim n_embed embedding_size attention_hidden_size
        word_embed_proj_dim lru_width width output_hidden_size encoder_hidden_size
        cross_attention_hidden_size input_embedding_size embedding_dim
    """,
    2: """
        encoder_layers decoder_layers num_encoder_layers num_decoder_layers n_head n_heads
        num_attention_heads encoder_attention_heads decoder_attention_heads num_heads
        num_key_value_heads num_kv_heads n_head_kv num_encoder_attention_heads
        num_decoder_attention_heads num_experts_per_tok num_experts_per_token top_k moe_k
        moe_topk moe_top_k
    """,
    64: """
        intermediate_size d_inner ffn_dim encoder_ffn_dim decoder_ffn_dim hidden_dim n_inner
        dim_ff d_ff moe_intermediate_size shared_expert_intermediate_size ffn_hidden_size
        ffn_intermediate_size mlp_hidden_size intermediate_size_mlp shared_intermediate_size
        expert_ffn_hidden_size
    """,
    16: "head_dim dim_head attention_head_size d_kv",
    128: """
        max_position_embeddings n_positions n_ctx max_seq_len context_length
        max_sequence_length max_source_positions max_target_positions
    """,
    4: "num_experts num_local_experts n_routed_experts moe_num_experts",
    1: "n_group topk_group first_k_dense_replace moe_layer_start_index",
    WINDOW: "sliding_window attention_window_size window_size",
    VOCABULARY: "vocab_size",
}
_SIZES = {name: size for size, names in _NAMES.items() for name in names.split()}
_LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
_KINDS = ("layer_types", "layers_block_type", "mlp_layer_types")
_MAMBA: dict[str, Any] = {"mamba_n_heads": 4, "mamba_d_head": 16, "mamba_d_state": 8}
_LATENT: dict[str, Any] = {
    "kv_lora_rank": 16,
    "q_lora_rank": 16,
    "qk_nope_head_dim": 16,
    "qk_rope_head_dim": 8,
    "v_head_dim": 16,
    "index_n_heads": 16,  # fewer are often all zero, and ties are cut by chance
    "index_head_dim": 16,
    "index_topk": 8,
}
_ROPE = {"rope_type": "default", "rope_theta": 10000.0}
_PER_LAYER = {"vocab_size_per_layer_input": VOCABULARY, "hidden_size_per_layer_input": 8}
_BOTH_KINDS = ["sliding_attention", "full_attention"]

SHAPES: dict[str, dict[str, Any]] = {
    "bamba": {"attn_layer_indices": [1], **_MAMBA},
    "big_bird": {"block_size": 4, "num_random_blocks": 1},
    "bigbird_pegasus": {"block_size": 4, "num_random_blocks": 1},
    "codegen": {"rotary_dim": 8, "n_head": 4, "n_embd": 64},
    "cohere_compass_text": {
        "rope_parameters": {"full_attention": _ROPE, "sliding_attention": _ROPE}
    },
    "dbrx": {"attn_config": {"kv_n_heads": 1, "rope_theta": 10000.0, "clip_qkv": 8.0}},
    "deepseek_v2": {"num_experts_per_tok": 2},
    "deepseek_v32": _LATENT,
    "dots1": {"n_routed_experts": 4, "num_experts_per_tok": 2, "n_shared_experts": 1},
    "esm": {"vocab_size": VOCABULARY, "pad_token_id": 0, "mask_token_id": 4},
    "esmc": {"vocab_size": VOCABULARY},
    "falcon_h1": {**_MAMBA, "mamba_d_ssm": 64},
    "gemma3n_text": {
        "layer_types": _BOTH_KINDS,
        "num_kv_shared_layers": 0,
        "activation_sparsity_pattern": [0.5, 0.0],
        "intermediate_size": [64, 64],
        "laurel_rank": 8,
        **_PER_LAYER,
    },
    "gemma4_text": {"layer_types": _BOTH_KINDS, **_PER_LAYER},
    "gemma4_unified_text": {"layer_types": _BOTH_KINDS},
    "glm_moe_dsa": _LATENT,
    "gpt_neo": {"attention_types": [[["global", "local"], 1]]},
    "gptj": {"rotary_dim": 8},
    "granitemoehybrid": {"layer_types": ["linear_attention", "full_attention"], **_MAMBA},
    "hunyuan_v1_dense": {"head_dim": 16},
    "hunyuan_v1_moe": {"head_dim": 16},
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1, "mamba_dt_rank": 4},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"], "num_dense_layers": 1},
    "longformer": {"attention_window": [8, 8]},
    "luke": {"entity_vocab_size": 20, "entity_emb_size": 16},
    "mamba2": {"num_heads": 4, "n_groups": 1},
    "ministral": {"head_dim": 16},
    "nemotron": {"num_key_value_heads": 2},
    "nystromformer": {"num_landmarks": 8, "segment_means_seq_len": 8},
    "perceiver": {
        "num_latents": 8,
        "d_latents": 32,
        "num_blocks": 1,
        "num_self_attends_per_block": 2,
        "num_self_attention_heads": 2,
        "num_cross_attention_heads": 2,
        "max_position_embeddings": 64,
    },
    "qwen4_exp_text": {
        "indexer_n_heads": 2,
        "indexer_kv_heads": 1,
        "indexer_head_dim": 16,
        "indexer_budget": 8,
        "indexer_compress_ratio": 2,
        "hc_lowrank": 8,
        "ngram_vocab_size_base": 50,
        "ple_embed_dim": 32,
    },
    "recurrent_gemma": {"num_hidden_layers": 3},
    "reformer": {
        "num_hidden_layers": 2,
        "is_decoder": True,
        "attn_layers": ["local", "lsh"],
        "axial_pos_shape": [8, 16],
        "axial_pos_embds_dim": [16, 16],
        "feed_forward_size": 64,
        "local_attn_chunk_length": 8,
        "lsh_attn_chunk_length": 8,
        "hash_seed": 3,
    },
    "roc_bert": {"pronunciation_vocab_size": 20, "shape_vocab_size": 20},
    "rwkv": {"rescale_every": 1},
    "whisper": {"suppress_tokens": None, "begin_suppress_tokens": None},
    "xlstm": {"num_blocks": 2},
    "xmod": {"default_language": "en_XX"},
    "zamba": {
        "layers_block_type": ["linear_attention", "hybrid"] * 2,
        "num_hidden_layers": 4,
        "attention_hidden_size": 64,
        "attention_head_dim": 32,
    },
    "zamba2": {
        "attention_hidden_size": 64,
        "attention_head_dim": 32,
        "mamba_headdim": 16,
        "n_mamba_heads": 4,
        "mamba_d_state": 8,
        "adapter_rank": 4,
    },
}


def types(objective: str) -> list[str]:
    """List transformers' types of model for an objective."""
    names = {
        "causal": modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        "masked": modeling_auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    }
    return list(names[objective])


def tiny_config(kind: str, **settings: Any) -> PreTrainedConfig:
    """Make a small configuration of a type."""
    return CONFIG_MAPPING[kind](**tiny_settings(kind, **settings))


def tiny_settings(kind: str, **settings: Any) -> dict[str, Any]:
    """Return the settings of a small configuration of a type, those within it as dicts."""
    chosen = {**SHAPES.get(kind, {}), **settings}
    return {**_small(CONFIG_MAPPING[kind](), chosen), **chosen}


def _small(config: PreTrainedConfig, chosen: dict[str, Any]) -> dict[str, Any]:
    """Return settings that make a configuration small, and those within it."""
    found: dict[str, Any] = {
        key: {**_small(value, SHAPES.get(value.model_type, {})), **SHAPES.get(value.model_type, {})}
        for key, value in vars(config).items()
        if isinstance(value, PreTrainedConfig)
    }
    latent = hasattr(config, "qk_rope_head_dim")
    for key, size in _SIZES.items():
        value = _read(config, key)
        if isinstance(value, int) and value > size and not (latent and key == "head_dim"):
            found[key] = size
    for key, value in config.to_dict().items():
        if key.endswith("_token_id") and isinstance(value, list):
            found[key] = [SPECIAL.index("</s>")]
        elif key.endswith("_token_id") and isinstance(value, int) and value >= VOCABULARY:
            found[key] = VOCABULARY - 1 - len(key) % 7
    return _under_own_names(config, {**found, **_few_layers(config, chosen)})


def _few_layers(config: PreTrainedConfig, chosen: dict[str, Any]) -> dict[str, Any]:
    """Return two layers, or one of each kind."""
    kinds = {
        key: list(dict.fromkeys(_read(config, key) or ()))
        for key in _KINDS
        if not isinstance(getattr(type(config), key, None), property)
    }
    count = max([2, *(len(own) for key, own in kinds.items() if key != "mlp_layer_types")])
    count = max([count, *(len(v) for k, v in chosen.items() if k in _KINDS)])
    if config.model_type in ("prophetnet", "funnel"):  # which have no one number of layers
        return {}
    found: dict[str, Any] = {
        key: [own[at % len(own)] for at in range(count)] for key, own in kinds.items() if own
    }
    for key in _LAYERS:
        value = _read(config, key)
        if isinstance(value, int) and value > count:
            found[key] = count
    return found


def _read(config: PreTrainedConfig, key: str) -> Any:
    try:
        return getattr(config, key, None)
    except RuntimeError:  # of a setting that is not the same in every layer: one that is
        return _SIZES.get(key, 0) + 1


def _under_own_names(config: PreTrainedConfig, settings: dict[str, Any]) -> dict[str, Any]:
    """Return settings without second names of one and the same, and without what is derived."""
    names = getattr(config, "attribute_map", {})
    renamed = {names[key]: value for key, value in settings.items() if key in names}
    own = {key: value for key, value in settings.items() if key not in names}
    return {
        key: value
        for key, value in {**renamed, **own}.items()
        if not isinstance(getattr(type(config), key, None), property)
    }


def tiny_model(kind: str, objective: str, **settings: Any) -> nn.Module:
    """Make a small model whose every weight matters, those that begin at zero or one, too."""
    if objective == "masked" and kind == "reformer":
        settings = {"is_decoder": False, **settings}
    auto = AutoModelForCausalLM if objective == "causal" else AutoModelForMaskedLM
    torch.manual_seed(0)
    model = auto.from_config(tiny_config(kind, **settings)).eval()
    stir(model)
    return model  # type: ignore[no-any-return]


@torch.no_grad()
def stir(model: nn.Module, seed: int = 0) -> None:
    """Give a model weights large enough for everything in it to matter."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if parameter.dim() < 2:
            parameter.add_(noise * 0.1)
        elif not float(parameter.std()) > (scale := 0.3 if parameter.shape[-1] <= 64 else 0.15):
            parameter.copy_(noise * scale)


def save_words(folder: Path) -> None:
    """Save a tokenizer of words, ``w05`` for id 5, that fits the tiny models."""
    words = [*SPECIAL, *(f"w{number:02d}" for number in range(len(SPECIAL), VOCABULARY))]
    tokenizer = Tokenizer(
        models.WordLevel({w: n for n, w in enumerate(words)}, unk_token=SPECIAL[3])
    )
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    names = ("pad", "bos", "eos", "unk", "mask")
    roles = {f"{name}_token": token for name, token in zip(names, SPECIAL, strict=True)}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **roles).save_pretrained(folder)


def as_json(config: Any) -> str:
    """Return a configuration as text, to be compared."""
    return json.dumps(config.to_dict(), sort_keys=True, default=str)
