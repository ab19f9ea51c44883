"""Rows of a model's embeddings for new tokens, each set from the rows of its pieces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn

from nextfill.core.errors import ModelError
from nextfill.models.architecture import embedding_rows, text_config
from nextfill.models.libraries import library_errors
from nextfill.models.loaded_model import LoadedModel, check_vocabulary
from nextfill.models.model_making import making_models
from nextfill.models.new_tokens import Extension, NewToken

LENGTH = 16
"""Tokens of the text that a model is tried on: some take no shorter one."""


@making_models()
def add_embeddings(loaded: LoadedModel, extension: Extension) -> LoadedModel:
    """Give a model, in place, a row of its embeddings for each new token; return it with them.

    A row of the input embedding is the mean of its pieces' rows, and so is one of the output
    embedding and its bias. Rows that a model has beyond its tokenizer's ids are used first.

    Raises:
        ModelError: If the model cannot be resized.
    """
    model: Any = loaded.model
    tied, before = _tied(model), embedding_rows(model)
    rows = max(before, 1 + max(one.id for one in extension.tokens))
    biases: list[Tensor] = []
    if rows > before:
        shared = _shared(model)
        failure = f"{loaded.name} takes no new tokens: a {type(model).__name__} is not resized"
        with library_errors(failure), torch.random.fork_rng(devices=[]):
            model.resize_token_embeddings(rows, **_as_they_are(model))
            shapes = _shapes(model)
        _part(model, shared)
        biases = _resize_biases(model, shapes, before, rows)
        _check_resized(model, rows, shapes, loaded.name, tied=tied)
    _check_logits(model, rows, extension.tokens[-1].id, loaded.name)
    output = model.get_output_embeddings()
    tables = [model.get_input_embeddings().weight, output.weight, *biases]
    if isinstance(bias := getattr(output, "bias", None), Tensor):
        tables.append(bias)
    with torch.no_grad():
        for table in {id(one): one for one in tables}.values():
            _set_rows(table, extension.tokens)
    extended = replace(loaded, tokenizer=extension.tokenizer)
    check_vocabulary(extended)
    return extended


def _as_they_are(model: Any) -> dict[str, bool]:
    """Return the keyword that leaves the rows alone that are set here, where it is known."""
    known = signature(model.resize_token_embeddings).parameters
    return {"mean_resizing": False} if "mean_resizing" in known else {}


def _shapes(model: Any) -> dict[str, torch.Size]:
    """Return the shapes that a model's weights have when it is made from its configuration."""
    with torch.device("meta"):
        again = type(model)(model.config)
    return {key: one.shape for key, one in again.state_dict().items()}


def _shared(model: nn.Module) -> dict[str, str]:
    """Return the first name of each parameter by all its names."""
    first: dict[int, str] = {}
    return {
        name: first.setdefault(id(one), name)
        for name, one in model.named_parameters(remove_duplicate=False)
    }


def _part(model: nn.Module, before: Mapping[str, str]) -> None:
    """Part the parameters that only resizing has made one, of which files would lack the second."""
    for name, first in _shared(model).items():
        if before.get(name) != before.get(first):
            _replace(model, name, model.get_parameter(name).detach().clone())


def _replace(model: nn.Module, name: str, values: Tensor) -> nn.Parameter:
    parent, _, key = name.rpartition(".")
    requires_grad = model.get_parameter(name).requires_grad
    parameter = nn.Parameter(values, requires_grad=requires_grad)
    setattr(model.get_submodule(parent), key, parameter)
    return parameter


def _resize_biases(
    model: nn.Module, shapes: Mapping[str, torch.Size], before: int, rows: int
) -> list[Tensor]:
    """Resize the biases over the vocabulary that transformers has left, and return them."""
    resized: list[Tensor] = []
    for name, one in list(model.named_parameters()):
        if one.shape == (before,) and shapes.get(name) == (rows,):
            bias = torch.zeros(rows, dtype=one.dtype, device=one.device)
            bias[:before] = one.detach()
            resized.append(_replace(model, name, bias))
    return resized


def _set_rows(table: Tensor, tokens: Sequence[NewToken]) -> None:
    old = table.detach().clone()
    for one in tokens:
        table[one.id] = old[list(one.pieces)].mean(dim=0)


def _tied(model: Any) -> bool:
    output = model.get_output_embeddings()
    return output is not None and output.weight is model.get_input_embeddings().weight


def _check_resized(
    model: Any, rows: int, shapes: Mapping[str, torch.Size], name: str, *, tied: bool
) -> None:
    """Refuse a model of which a part has not got the new rows, or that its files would not make."""
    output = model.get_output_embeddings()
    sizes = {
        "input embedding": embedding_rows(model),
        "output embedding": None if output is None else output.weight.shape[0],
        "configuration": text_config(model.config).vocab_size,
    }
    wrong = [f"{part} of {size} rows" for part, size in sizes.items() if size != rows]
    if tied != _tied(model):
        wrong.append("output embedding that is no longer the input embedding")
    wrong += [
        f"{key} of the shape {tuple(one.shape)}, which has no place in the model that it saves"
        for key, one in model.state_dict().items()
        if one.shape != shapes.get(key, one.shape)
    ]
    if wrong:
        raise ModelError(
            f"{name} takes no new tokens: resized to {rows:,} of them, a {type(model).__name__} "
            f"has {' and '.join(wrong[:3])}. Train it without --add-tokens."
        )


def _check_logits(model: nn.Module, rows: int, last: int, name: str) -> None:
    """Refuse a model that cannot compute a text of a new token, or predicts none."""
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    failure = f"{name} takes no new tokens: with them it cannot compute a text"
    with library_errors(failure), torch.no_grad():
        logits = model(input_ids=torch.full((1, LENGTH), last, device=device)).logits
    model.train(was_training)
    if logits.shape[-1] != rows:
        raise ModelError(
            f"{name} takes no new tokens: it predicts {logits.shape[-1]:,} tokens, and has rows "
            f"for {rows:,}. Train it without --add-tokens."
        )
