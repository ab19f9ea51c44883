"""The layouts of masked models that `mask_logits` can compute: RoBERTa's, BERT's and DistilBERT's.

What is read of a model is its modules, adapters merged, as `decoder_layouts` reads them. A setting
that is not computed here makes the model one of no known layout; one that is overlooked is found
by trying.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from nextfill.models.architecture import first_position
from nextfill.models.computation import probe_ids, restored, same_logits
from nextfill.models.inference.decoder_layouts import weight_and_bias
from nextfill.models.inference.mask_encoder import EncoderBlock, EncoderParts, mask_logits
from nextfill.models.inference.matrix_products import Product, many_row_product
from nextfill.models.inference.static_cache import Norm, layer_norm

Kind = Literal["fp32", "bf16"]
"""Types of the products."""

_KINDS: dict[Kind, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16}

_TOLERANCES: dict[Kind, float] = {"fp32": 1e-4, "bf16": 0.05}
"""Largest difference of a logit, relative to the largest."""

_LENGTHS = (9, 4, 1, 9)


def read_encoder(model: nn.Module, kind: Kind) -> EncoderParts | None:
    """Return a masked model in parts, or None if it is of no layout that is known.

    The model is in evaluation mode, on the CPU, in float32. That the parts have its logits is
    tried with texts of several lengths and numbers of masks: in float32 first, as rounded weights
    would hide a small difference.
    """
    reader = _READERS.get((type(model).__module__, type(model).__name__))
    if reader is None or next(model.parameters()).device.type != "cpu":
        return None
    if any(p.dtype != torch.float32 for p in model.parameters()):
        return None
    linear = {type(one) for one in model.modules() if isinstance(one, nn.Linear)}
    if any(one is not nn.Linear and not hasattr(one, "get_base_layer") for one in linear):
        return None  # weights in 4 bits, which dense ones would undo
    kinds: tuple[Kind, ...] = ("fp32",) if kind == "fp32" else ("fp32", kind)
    parts = None
    with torch.inference_mode(False), torch.no_grad():
        for one in kinds:
            parts = reader(model, _KINDS[one])
            if parts is None or not _has_its_logits(model, parts, one):
                return None
    return parts


def _has_its_logits(model: nn.Module, parts: EncoderParts, kind: Kind) -> bool:
    most = len(parts.positions)
    texts = [
        probe_ids(model, 1, min(length, most), seed=number)
        for number, length in enumerate(_LENGTHS)
    ]
    places = [sorted({0, text.shape[1] - 1, text.shape[1] // 2}) for text in texts]
    places[0] = places[0][1:]  # other than those of a text as long
    found = mask_logits(parts, [text[0].tolist() for text in texts], places)
    with restored(model):
        logits = [model(input_ids=text).logits[0] for text in texts]
    expected = torch.cat([one[some] for one, some in zip(logits, places, strict=True)]).float()
    if bool(expected.isnan().any()) or found.shape != expected.shape:
        return False
    return same_logits(found, expected, _TOLERANCES[kind])


def _product(kind: torch.dtype, *layers: nn.Module) -> Product:
    """Return one product for layers that take the same rows."""
    read = [weight_and_bias(layer) for layer in layers]
    biases = [torch.zeros(len(weight)) if bias is None else bias for weight, bias in read]
    return many_row_product(torch.cat([weight for weight, _ in read]), torch.cat(biases), kind)


def _norm(norm: nn.Module) -> Norm | None:
    if type(norm) is not nn.LayerNorm:
        return None
    return layer_norm(norm.weight, norm.bias, norm.eps)


def _in_steps(*steps: Callable[[Tensor], Tensor]) -> Product:
    """Return what computes one step after another."""

    def compute(rows: Tensor) -> Tensor:
        for step in steps:
            rows = step(rows)
        return rows

    return compute


def _in_float32(norm: Norm) -> Norm:
    return lambda rows: norm(rows.float())


def _parts(
    model: Any,
    *,
    embeddings: Any,
    kinds: Tensor | None,
    layers: list[tuple[Any, ...]],
    head: tuple[Any, Any, Any, Any],
    num_heads: int,
    kind: torch.dtype,
) -> EncoderParts | None:
    """Return the parts of a model, None where a norm is none that is known.

    Args:
        model: Any of the layouts.
        embeddings: Its module of embeddings.
        kinds: What is added to each token of a text, ``[width]``, if anything is.
        layers: Of each layer its queries, keys, values, output, norm, inner product, activation,
            outer product and norm.
        head: The first product of the head, its activation, its norm and its last product.
        num_heads: Heads of a layer.
        kind: Of the products.
    """
    blocks = []
    for queries, keys, values, output, norm, inner, activation, outer, last in layers:
        norms = _norm(norm), _norm(last)
        if norms[0] is None or norms[1] is None:
            return None
        blocks.append(
            EncoderBlock(
                queries=_product(kind, queries),
                keys_values=_product(kind, keys, values),
                attention_output=_product(kind, output),
                norm_of_attention=norms[0],
                feed_forward=_in_steps(_product(kind, inner), activation, _product(kind, outer)),
                norm_of_output=norms[1],
            )
        )
    first, activation, norm, last = head
    first_norm, head_norm = _norm(embeddings.LayerNorm), _norm(norm)
    if first_norm is None or head_norm is None or not blocks:
        return None
    positions = embeddings.position_embeddings.weight[first_position(model) :]
    return EncoderParts(
        tokens=embeddings.word_embeddings.weight,
        positions=positions if kinds is None else positions + kinds,
        first_norm=first_norm,
        blocks=tuple(blocks),
        head=_in_steps(
            _product(kind, first), activation, _in_float32(head_norm), _product(kind, last)
        ),
        num_heads=num_heads,
    )


def _of_bert(model: Any, body: Any, head: tuple[Any, Any, Any, Any], kind: torch.dtype) -> Any:
    if model.config.is_decoder or model.config.add_cross_attention:
        return None
    layers = [
        (
            layer.attention.self.query,
            layer.attention.self.key,
            layer.attention.self.value,
            layer.attention.output.dense,
            layer.attention.output.LayerNorm,
            layer.intermediate.dense,
            layer.intermediate.intermediate_act_fn,
            layer.output.dense,
            layer.output.LayerNorm,
        )
        for layer in body.encoder.layer
    ]
    return _parts(
        model,
        embeddings=body.embeddings,
        kinds=body.embeddings.token_type_embeddings.weight[0],
        layers=layers,
        head=head,
        num_heads=model.config.num_attention_heads,
        kind=kind,
    )


def _bert(model: Any, kind: torch.dtype) -> EncoderParts | None:
    transform, last = model.cls.predictions.transform, model.cls.predictions.decoder
    head = transform.dense, transform.transform_act_fn, transform.LayerNorm, last
    found: EncoderParts | None = _of_bert(model, model.bert, head, kind)
    return found


def _roberta(model: Any, kind: torch.dtype) -> EncoderParts | None:
    lm_head = model.lm_head
    head = lm_head.dense, functional.gelu, lm_head.layer_norm, lm_head.decoder
    found: EncoderParts | None = _of_bert(model, model.roberta, head, kind)
    return found


def _distilbert(model: Any, kind: torch.dtype) -> EncoderParts | None:
    layers = [
        (
            layer.attention.q_lin,
            layer.attention.k_lin,
            layer.attention.v_lin,
            layer.attention.out_lin,
            layer.sa_layer_norm,
            layer.ffn.lin1,
            layer.ffn.activation,
            layer.ffn.lin2,
            layer.output_layer_norm,
        )
        for layer in model.distilbert.transformer.layer
    ]
    return _parts(
        model,
        embeddings=model.distilbert.embeddings,
        kinds=None,
        layers=layers,
        head=(
            model.vocab_transform,
            model.activation,
            model.vocab_layer_norm,
            model.vocab_projector,
        ),
        num_heads=model.config.n_heads,
        kind=kind,
    )


_OF_TRANSFORMERS = "transformers.models"
_READERS: dict[tuple[str, str], Callable[[Any, torch.dtype], EncoderParts | None]] = {
    (f"{_OF_TRANSFORMERS}.bert.modeling_bert", "BertForMaskedLM"): _bert,
    (f"{_OF_TRANSFORMERS}.roberta.modeling_roberta", "RobertaForMaskedLM"): _roberta,
    (f"{_OF_TRANSFORMERS}.distilbert.modeling_distilbert", "DistilBertForMaskedLM"): _distilbert,
}
"""By module and name: a class of a program's own may compute something else under such a name."""
