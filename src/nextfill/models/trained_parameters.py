"""The parameters of a model that training changes, by part, layer or name."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from fnmatch import fnmatchcase
from functools import reduce
from operator import or_

from torch import nn

from nextfill.core.errors import ConfigError

_LAYERS = re.compile(r"layers:(\d+)(?:-(\d+))?")
_NUMBER = re.compile(r"(?:^|\.)(\d+)\.")


def embedding_names(model: nn.Module) -> set[str]:
    """Return the names of the parameters of the embeddings of tokens, positions and types.

    The projection onto the vocabulary, which often shares its weights with the first, is one.
    """
    output = getattr(model, "get_output_embeddings", lambda: None)()
    return _names(model, lambda module: isinstance(module, nn.Embedding) or module is output)


def _is_norm(module: nn.Module) -> bool:
    """Tell a norm by its class's name, because transformers has one class per model.

    What holds other modules with weights is none: `RobertaPreLayerNormLMHead` is a head.
    """
    if "norm" not in type(module).__name__.lower():
        return False
    return not any(True for child in module.children() for _ in child.parameters())


def norm_names(model: nn.Module) -> set[str]:
    """Return the names of the parameters of norms."""
    return _names(model, _is_norm)


def bias_names(model: nn.Module) -> set[str]:
    """Return the names of the biases, those of norms too."""
    return {name for name in _all_names(model) if name.endswith("bias")}


_PARTS = {"embeddings": embedding_names, "norms": norm_names, "biases": bias_names}


def layer_of(name: str) -> int | None:
    """Return the layer of a parameter, the first number in its name; None outside of the layers.

    Example:
        >>> layer_of("transformer.h.3.attn.c_attn.weight")
        3
    """
    found = _NUMBER.search(name)
    return None if found is None else int(found[1])


def num_layers(model: nn.Module) -> int:
    """Return the number of layers, by the names of the parameters."""
    return 1 + max((layer_of(name) or 0 for name in _all_names(model)), default=0)


def choose_trained(model: nn.Module, train_only: Sequence[str], freeze: Sequence[str]) -> None:
    """Have training change some parameters only; those that are frozen already stay so.

    Args:
        model: The model; the ``requires_grad`` of its parameters is set.
        train_only: Those to train, as parts (``embeddings``, ``norms``, ``biases``), layers
            (``layers:0-3``, the first four) or patterns of names (``*.attn.*``); all, if empty.
        freeze: Those of them to leave as they are.

    Raises:
        ConfigError: If a name matches no parameter, or none is left to train.
    """
    named = dict(model.named_parameters(remove_duplicate=False))
    trained = _selected(model, train_only, "--train-only") if train_only else named.keys()
    frozen = {id(named[name]) for name in _selected(model, freeze, "--freeze")}
    kept = {id(named[name]) for name in trained if named[name].requires_grad} - frozen
    if not kept:
        raise ConfigError(["--train-only and --freeze leave no parameter to train."])
    for parameter in model.parameters():
        parameter.requires_grad_(id(parameter) in kept)


@contextmanager
def trained_as_before(model: nn.Module | None) -> Iterator[None]:
    """Leave a live model's choice of the parameters that are trained as it was."""
    before = [] if model is None else [(p, p.requires_grad) for p in model.parameters()]
    try:
        yield
    finally:
        for parameter, requires_grad in before:
            parameter.requires_grad_(requires_grad)


def rate_factors(model: nn.Module, decay: float) -> dict[str, float]:
    """Return the factor of the learning rate of each parameter, 1 in the last layer and after it.

    Each layer before has the factor of the next one times the decay, and the embeddings below that
    of the first.

    Source:
        Howard and Ruder 2018, Universal Language Model Fine-tuning for Text Classification (their
        discriminative fine-tuning divides by 2.6); Clark et al. 2020, ELECTRA.
    """
    count, embeddings = num_layers(model), embedding_names(model)
    factors = {}
    for name, _ in model.named_parameters():
        layer = layer_of(name)
        if layer is not None:
            factors[name] = decay ** (count - 1 - layer)
        else:
            factors[name] = decay**count if name in embeddings else 1.0
    return factors


def _selected(model: nn.Module, wanted: Sequence[str], flag: str) -> set[str]:
    names = [one.strip() for several in wanted for one in several.split(",")]
    return reduce(or_, (_matching(model, one, flag) for one in names), set())


def _matching(model: nn.Module, wanted: str, flag: str) -> set[str]:
    names = _all_names(model)
    if part := _PARTS.get(wanted):
        found = part(model)
    elif layers := _LAYERS.fullmatch(wanted):
        first, last = int(layers[1]), int(layers[2] or layers[1])
        found = {name for name in names if layer_of(name) in range(first, last + 1)}
        if last >= num_layers(model):
            found = set()
    else:
        found = {name for name in names if fnmatchcase(name, wanted)}
    if not found:
        if wanted in _PARTS:
            there = [part for part, names_of in _PARTS.items() if names_of(model)]
            raise ConfigError(
                [f"{flag}: the model has no {wanted}; of such parts it has {', '.join(there)}."]
            )
        near = get_close_matches(wanted, _PARTS, 1)
        if near:
            raise ConfigError(
                [f"{flag}: the model has no parameter {wanted}. Did you mean {near[0]}?"]
            )
        near = get_close_matches(wanted, names, 2, 0.5) or sorted(names, key=_depth)[-2:]
        raise ConfigError(
            [
                f"{flag}: the model has no parameter {wanted}; expected {', '.join(_PARTS)}, "
                f"layers:0-{num_layers(model) - 1} or a part of them, or a pattern that matches "
                f"names such as {' or '.join(near)}."
            ]
        )
    return found


def _depth(name: str) -> int:
    return name.count(".")


def _all_names(model: nn.Module) -> set[str]:
    """Return all names of the parameters, several of one that is shared."""
    return {name for name, _ in model.named_parameters(remove_duplicate=False)}


def _names(model: nn.Module, wanted: Callable[[nn.Module], bool]) -> set[str]:
    """Return the names of the parameters of some modules."""
    return {
        f"{module_name}.{name}" if module_name else name
        for module_name, module in model.named_modules()
        if wanted(module)
        for name, _ in module.named_parameters(recurse=False)
    }
