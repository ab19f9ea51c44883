"""The layouts of models that `CachedDecoder` can compute: GPT-2's and Llama's.

What is read of a model is its modules, whatever their weights are wrapped in: a layer with an
adapter is read by what it makes of the unit vectors, which is the merged weight. A setting that is
not computed here makes the model one of no known layout; one that is overlooked is found by trying.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrize import is_parametrized
from transformers.activations import NewGELUActivation
from transformers.pytorch_utils import Conv1D

from nextfill.models.computation import probe_ids, restored, same_logits
from nextfill.models.inference.matrix_products import Product, Weights, packed_product
from nextfill.models.inference.static_cache import (
    Block,
    CachedDecoder,
    Parts,
    Rotary,
    layer_norm,
    rms_norm,
)
from nextfill.models.inference.vocabulary_screening import vocabulary_screen
from nextfill.models.libraries import is_watched

LAYOUTS = ("GPT2LMHeadModel", "LlamaForCausalLM")
"""Classes of transformers whose layouts are known."""

_TURNS = ("default", "linear", "llama3", "yarn")
"""Kinds of rotary positions that are the same however long a text is."""

_TOLERANCES: dict[Weights, float] = {"fp32": 1e-4, "laid out": 1e-4, "half": 0.05, "int8": 0.25}
"""Largest difference of a logit, relative to the largest."""

_ROWS, _LENGTH, _STEPS, _LIKELIEST = 3, 9, 3, 50


def read_decoder(model: nn.Module, weights: Weights, *, for_one: bool = False) -> Parts | None:
    """Return a model in parts, or None if it is of no layout that is known.

    Where texts are computed one at a time, ``for_one``, the likely tokens of one are found without
    the logits of all, in half precision: nearly half of the bytes that a step reads.

    The model is in evaluation mode, on the CPU, in float32. That the parts have its logits is
    tried with texts of several lengths, padded at the left, read at once and token by token: where
    weights are rounded in float32 first, as their rounding would hide a small difference.
    """
    reader = _READERS.get((type(model).__module__, type(model).__name__))
    if reader is None or next(model.parameters()).device.type != "cpu":
        return None
    if any(p.dtype != torch.float32 for p in model.parameters()):
        return None
    if not all(_is_dense(one) for one in model.modules() if isinstance(one, nn.Linear)):
        return None  # weights in 4 bits, which dense ones would undo
    parts: Parts | None = None
    with torch.inference_mode(False), torch.no_grad():
        rounds = _TOLERANCES[weights] > _TOLERANCES["fp32"]
        for form in ("fp32", weights) if rounds else (weights,):
            parts = None  # not two copies of the weights at a time
            parts = reader(model, form)
            if parts is not None and for_one and form == "half":
                head: Any = model.lm_head
                parts = replace(parts, screen=vocabulary_screen(head.weight, head.bias))
            if parts is None or not has_its_logits(model, parts, form):
                return None
        return parts


def _is_dense(linear: nn.Linear) -> bool:
    """Check that a layer's weight is a plain one, or one that PyTorch or PEFT adds up to it."""
    kind = type(linear)
    return kind is nn.Linear or hasattr(kind, "get_base_layer") or is_parametrized(linear)


@torch.no_grad()
def has_its_logits(model: nn.Module, parts: Parts, weights: Weights) -> bool:
    """Return whether parts compute a model's logits, but for the rounding of its weights."""
    ids = probe_ids(model, _ROWS, _LENGTH + _STEPS)
    skipped = torch.tensor([0, 3, _LENGTH - 1])  # of the three texts, one is a single token
    mask = (torch.arange(_LENGTH) >= skipped[:, None]).long()
    decoder = CachedDecoder(parts, ids[:, :_LENGTH], mask, _STEPS)
    states = [decoder.last_states()]
    states += [decoder.next_states(ids[:, _LENGTH + step]) for step in range(_STEPS)]
    together = torch.stack(states, dim=1)
    each, expected = [], []
    for row, first in enumerate(skipped.tolist()):
        text = ids[row : row + 1, first:]
        with restored(model):
            logits = model(input_ids=text, use_cache=False).logits
        expected.append(logits[0, -_STEPS - 1 :].float())
        alone = CachedDecoder(parts, text, torch.ones_like(text), 0)
        each.append(alone.all_states()[0, -_STEPS - 1 :])
    wanted = torch.cat(expected)
    return _same(parts.head(torch.cat(each)), wanted, weights) and _same(
        _logits(parts, together.flatten(0, 1), wanted), wanted, weights
    )


def _logits(parts: Parts, states: Tensor, expected: Tensor) -> Tensor:
    """Return the logits of states, ``[n, V]``, as those of single rows are found.

    Where not all are computed, the others are taken to be as expected.
    """
    rows = []
    for state, wanted in zip(states.split(1), expected.split(1), strict=True):  # type: ignore[no-untyped-call]
        found = None if parts.screen is None else parts.screen(state, _LIKELIEST)
        if found is None:
            few = states.split(_ROWS)  # type: ignore[no-untyped-call]
            return torch.cat([parts.head(some) for some in few])
        rows.append(wanted.scatter(1, found.ids, found.logits))
    return torch.cat(rows)


def _same(found: Tensor, expected: Tensor, weights: Weights) -> bool:
    if bool(expected.isnan().any()):
        return True  # there is nothing to tell by, and generating refuses it
    if found.shape != expected.shape:
        return False
    return same_logits(found, expected, _TOLERANCES[weights])


def weight_and_bias(layer: nn.Module) -> tuple[Tensor, Tensor | None]:
    """Return the weight of a linear layer, ``[out, in]``, and its bias, adapters merged."""
    plain: Any = layer
    if type(layer) is nn.Linear:
        return plain.weight, plain.bias
    if type(layer) is Conv1D:
        return plain.weight.t(), plain.bias
    base: Any = plain.get_base_layer() if hasattr(layer, "get_base_layer") else layer
    num_in = base.nx if isinstance(base, Conv1D) else base.in_features
    bias = layer(torch.zeros(1, num_in))[0]
    return (layer(torch.eye(num_in)) - bias).t(), bias


def _product(weights: Weights, *layers: nn.Module) -> Product:
    """Return one product for layers that take the same rows."""
    read = [weight_and_bias(layer) for layer in layers]
    if len(read) == 1:
        return packed_product(*read[0], weights)
    biases = [torch.zeros(len(weight)) if bias is None else bias for weight, bias in read]
    has_bias = any(bias is not None for _, bias in read)
    weight = torch.cat([weight for weight, _ in read])
    return packed_product(weight, torch.cat(biases) if has_bias else None, weights)


def _gpt2(model: Any, weights: Weights) -> Parts | None:
    config, body = model.config, model.transformer
    if config.add_cross_attention or type(model.lm_head) is not nn.Linear:
        return None
    heads = config.num_attention_heads
    blocks = []
    for layer in body.h:
        if type(layer.ln_1) is not nn.LayerNorm or type(layer.ln_2) is not nn.LayerNorm:
            return None
        inner, outer = _product(weights, layer.mlp.c_fc), _product(weights, layer.mlp.c_proj)
        blocks.append(
            Block(
                norm_before=_layer_norm(layer.ln_1),
                queries_keys_values=_product(weights, layer.attn.c_attn),
                attention_output=_product(weights, layer.attn.c_proj),
                norm_after=_layer_norm(layer.ln_2),
                feed_forward=_feed_forward(inner, _activation(layer.mlp.act, weights), outer),
                scale=layer.attn.scaling,
            )
        )
    return Parts(
        tokens=body.wte.weight,
        positions=body.wpe.weight,
        rotary=None,
        blocks=tuple(blocks),
        last_norm=_layer_norm(body.ln_f),
        head=_product(weights, model.lm_head),
        num_heads=heads,
        num_kv_heads=heads,
        head_size=config.hidden_size // heads,
    )


def _llama(model: Any, weights: Weights) -> Parts | None:
    config, body = model.config, model.model
    turns = (config.rope_parameters or {}).get("rope_type", "default")
    if turns not in _TURNS or type(model.lm_head) is not nn.Linear:
        return None
    blocks = []
    for layer in body.layers:
        attention, inner = layer.self_attn, layer.mlp
        blocks.append(
            Block(
                norm_before=_rms_norm(layer.input_layernorm),
                queries_keys_values=_product(
                    weights, attention.q_proj, attention.k_proj, attention.v_proj
                ),
                attention_output=_product(weights, attention.o_proj),
                norm_after=_rms_norm(layer.post_attention_layernorm),
                feed_forward=_gated(
                    _product(weights, inner.gate_proj, inner.up_proj),
                    inner.act_fn,
                    _product(weights, inner.down_proj),
                ),
                scale=attention.scaling,
            )
        )
    positions = torch.arange(config.max_position_embeddings)[None]
    cosines, sines = body.rotary_emb(torch.zeros(1), positions)
    return Parts(
        tokens=body.embed_tokens.weight,
        positions=None,
        rotary=Rotary(cosines[0], sines[0]),
        blocks=tuple(blocks),
        last_norm=_rms_norm(body.norm),
        head=_product(weights, model.lm_head),
        num_heads=config.num_attention_heads,
        num_kv_heads=config.num_key_value_heads,
        head_size=attention.head_dim,
    )


def _feed_forward(inner: Product, activation: Any, outer: Product) -> Product:
    return lambda rows: outer(activation(inner(rows)))


def _activation(activation: nn.Module, weights: Weights) -> Callable[[Tensor], Tensor]:
    """Return an activation, GPT-2's GELU as one operation but where texts must not change.

    For these the eight that transformers writes out are kept: the one's last bits depend on where
    in a batch a number stands.
    """
    is_plain = type(activation) is NewGELUActivation and not is_watched(activation)
    if is_plain and weights != "fp32":
        return partial(functional.gelu, approximate="tanh")
    return activation


def _gated(inner: Product, activation: Any, outer: Product) -> Product:
    def compute(rows: Tensor) -> Tensor:
        gate, up = inner(rows).chunk(2, dim=-1)
        return outer(activation(gate) * up)

    return compute


def _layer_norm(norm: Any) -> Any:
    return layer_norm(norm.weight, norm.bias, norm.eps)


def _rms_norm(norm: Any) -> Any:
    return rms_norm(norm.weight, norm.variance_epsilon)


_OF_TRANSFORMERS = "transformers.models"
_READERS: dict[tuple[str, str], Callable[[Any, Weights], Parts | None]] = {
    (f"{_OF_TRANSFORMERS}.gpt2.modeling_gpt2", "GPT2LMHeadModel"): _gpt2,
    (f"{_OF_TRANSFORMERS}.llama.modeling_llama", "LlamaForCausalLM"): _llama,
}
"""By module and name: a class of a program's own may compute something else under such a name."""
