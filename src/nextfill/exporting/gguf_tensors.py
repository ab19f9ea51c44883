"""The tensors and sizes of a model as llama.cpp names and lays them out.

Source:
    llama.cpp, ``gguf-py/gguf/constants.py`` (names of tensors and keys) and its graphs of
    ``llama``, ``qwen2``, ``qwen3`` and ``gpt2``, which say what each tensor holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from nextfill.models.architecture import setting

Tensors = Iterator[tuple[str, Tensor]]


@dataclass(frozen=True)
class Layout:
    """How llama.cpp holds models of one class of transformers.

    Args:
        architecture: llama.cpp's name of it.
        problems: Returns the settings of a configuration that it has no place for.
        sizes: Returns its keys below the architecture's name, with their values.
        tensors: Yields its tensors by name.
    """

    architecture: str
    problems: Callable[[Any], list[str]]
    sizes: Callable[[Any], Mapping[str, Any]]
    tensors: Callable[[Any, Mapping[str, Tensor]], Tensors]


_LLAMA_LAYER = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
_GPT2_LAYER = {
    "ln_1": "attn_norm",
    "attn.c_attn": "attn_qkv",
    "attn.c_proj": "attn_output",
    "ln_2": "ffn_norm",
    "mlp.c_fc": "ffn_up",
    "mlp.c_proj": "ffn_down",
}
_SCALINGS = {"default": None, "linear": "linear", "llama3": None}
FREQUENCIES = "rope_freqs.weight"
"""A tensor that is computed of settings: what each frequency of the positions is divided by."""


def _different(config: Any, expected: Mapping[str, Any]) -> list[str]:
    """Return the settings that are there and are not as llama.cpp has them, ``key=value``."""
    found = {key: setting(config, key) for key in expected}
    return [
        f"{key}={value!r}"
        for key, value in found.items()
        if value is not None and value != expected[key]
    ]


def _rope(config: Any) -> dict[str, Any]:
    found = setting(config, "rope_parameters") or {}
    return dict(found)


def _llama_problems(config: Any) -> list[str]:
    problems = _different(config, {"hidden_act": "silu"})
    window = setting(config, "sliding_window")
    slides = setting(config, "use_sliding_window")
    reaches_all = window is None or window >= config.max_position_embeddings
    if not reaches_all and slides is not False:
        problems.append(f"sliding_window={window!r}")
    rope = _rope(config)
    if rope.get("rope_type", "default") not in _SCALINGS:
        problems.append(f"rope_type={rope['rope_type']!r}")
    if rope.get("partial_rotary_factor", 1.0) != 1.0:
        problems.append(f"partial_rotary_factor={rope['partial_rotary_factor']!r}")
    return problems


def _llama_sizes(config: Any) -> Mapping[str, Any]:
    heads = config.num_attention_heads
    size = setting(config, "head_dim") or config.hidden_size // heads
    rope = _rope(config)
    sizes = {
        "context_length": config.max_position_embeddings,
        "embedding_length": config.hidden_size,
        "block_count": config.num_hidden_layers,
        "feed_forward_length": config.intermediate_size,
        "attention.head_count": heads,
        "attention.head_count_kv": setting(config, "num_key_value_heads") or heads,
        "attention.key_length": size,
        "attention.value_length": size,
        "attention.layer_norm_rms_epsilon": float(config.rms_norm_eps),
        "rope.dimension_count": size,
        "rope.freq_base": float(rope.get("rope_theta", 10000.0)),
    }
    if scaling := _SCALINGS[rope.get("rope_type", "default")]:
        sizes |= {"rope.scaling.type": scaling, "rope.scaling.factor": float(rope["factor"])}
    return sizes


def _llama_tensors(config: Any, state: Mapping[str, Tensor], *, pairs: bool) -> Tensors:
    """Yield the tensors; with ``pairs`` those that are rotated have the two of each pair abreast.

    transformers keeps the first of all pairs before the second of all, and so do llama.cpp's later
    architectures.
    """
    yield "token_embd.weight", state["model.embed_tokens.weight"]
    yield "output_norm.weight", state["model.norm.weight"]
    if not torch.equal(state["lm_head.weight"], state["model.embed_tokens.weight"]):
        yield "output.weight", state["lm_head.weight"]
    if _rope(config).get("rope_type") == "llama3":
        yield FREQUENCIES, _frequency_factors(config)
    heads = config.num_attention_heads
    counts = {"attn_q": heads, "attn_k": setting(config, "num_key_value_heads") or heads}
    for name, tensor in state.items():
        if not name.startswith("model.layers."):
            continue
        at, _, rest = name.removeprefix("model.layers.").partition(".")
        layer, _, kind = rest.rpartition(".")
        own = _LLAMA_LAYER[layer]
        abreast = pairs and own in counts
        yield f"blk.{at}.{own}.{kind}", _abreast(tensor, counts[own]) if abreast else tensor


def _frequency_factors(config: Any) -> Tensor:
    """Return Llama 3's divisors of the frequencies, as transformers computes them, ``[D / 2]``."""
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    scaled, _ = ROPE_INIT_FUNCTIONS["llama3"](config, torch.device("cpu"))
    pairs = torch.arange(len(scaled)) / len(scaled)
    factors: Tensor = _rope(config)["rope_theta"] ** -pairs / scaled
    return factors


def _abreast(tensor: Tensor, heads: int) -> Tensor:
    parts = tensor.reshape(heads, 2, -1, *tensor.shape[1:])
    return parts.transpose(1, 2).reshape(tensor.shape)


def _gpt2_problems(config: Any) -> list[str]:
    expected = {
        "activation_function": "gelu_new",
        "scale_attn_weights": True,
        "scale_attn_by_inverse_layer_idx": False,
        "add_cross_attention": False,
    }
    return _different(config, expected)


def _gpt2_sizes(config: Any) -> Mapping[str, Any]:
    return {
        "context_length": config.n_positions,
        "embedding_length": config.n_embd,
        "block_count": config.n_layer,
        "feed_forward_length": config.n_inner or 4 * config.n_embd,
        "attention.head_count": config.n_head,
        "attention.layer_norm_epsilon": float(config.layer_norm_epsilon),
    }


def _gpt2_tensors(config: Any, state: Mapping[str, Tensor]) -> Tensors:
    yield "token_embd.weight", state["transformer.wte.weight"]
    yield "position_embd.weight", state["transformer.wpe.weight"]
    for kind in ("weight", "bias"):
        yield f"output_norm.{kind}", state[f"transformer.ln_f.{kind}"]
    if not torch.equal(state["lm_head.weight"], state["transformer.wte.weight"]):
        yield "output.weight", state["lm_head.weight"]
    for name, tensor in state.items():
        if not name.startswith("transformer.h."):
            continue
        at, _, rest = name.removeprefix("transformer.h.").partition(".")
        layer, _, kind = rest.rpartition(".")
        if layer in _GPT2_LAYER:  # older checkpoints hold a causal mask, too
            yield f"blk.{at}.{_GPT2_LAYER[layer]}.{kind}", tensor.T if tensor.ndim == 2 else tensor


def _pair_tensors(config: Any, state: Mapping[str, Tensor]) -> Tensors:
    return _llama_tensors(config, state, pairs=True)


def _half_tensors(config: Any, state: Mapping[str, Tensor]) -> Tensors:
    return _llama_tensors(config, state, pairs=False)


LAYOUTS = {
    "LlamaForCausalLM": Layout("llama", _llama_problems, _llama_sizes, _pair_tensors),
    "MistralForCausalLM": Layout("llama", _llama_problems, _llama_sizes, _pair_tensors),
    "Qwen2ForCausalLM": Layout("qwen2", _llama_problems, _llama_sizes, _half_tensors),
    "Qwen3ForCausalLM": Layout("qwen3", _llama_problems, _llama_sizes, _half_tensors),
    "GPT2LMHeadModel": Layout("gpt2", _gpt2_problems, _gpt2_sizes, _gpt2_tensors),
}
"""The layouts by transformers' class."""
