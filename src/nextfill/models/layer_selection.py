"""A smaller model of some of a model's layers, evenly taken, as DistilBERT and DistilGPT2 began.

What makes a layer is found by the names of the weights, and the outcome is tried: it must compute
what the whole model does when the other layers hand on what they are given.

Source: Sanh et al. 2019, DistilBERT, a distilled version of BERT, section 2: one layer out of two.
Of twelve layers six are 0, 2, 4, 7, 9 and 11, as there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor, nn

from nextfill.config import ModelConfig
from nextfill.core.errors import ConfigError, ModelError
from nextfill.models.adapters.lora import merge_adapter
from nextfill.models.architecture import setting, text_config
from nextfill.models.computation import in_mode, probe_ids, restored, same_logits
from nextfill.models.documents.attention import attention_keyword
from nextfill.models.libraries import REFUSALS, auto_class, first_error_line, library_errors
from nextfill.models.loaded_model import LoadedModel
from nextfill.models.model_making import making_models

COUNT = "num_hidden_layers"
_NUMBER = re.compile(r"((?:^|.*?\.))(\d+)(\..*)")
"""A name's part before its first number, which is that of the layer, the number, and the rest."""


def evenly(count: int, total: int) -> list[int]:
    """Return the numbers of some of all layers, the first and the last among them.

    Example:
        >>> evenly(6, 12), evenly(3, 5), evenly(1, 4)
        ([0, 2, 4, 7, 9, 11], [0, 2, 4], [0])
    """
    return [round(at * (total - 1) / max(1, count - 1)) for at in range(count)]


@making_models()
def select_layers(loaded: LoadedModel, count: int, config: ModelConfig) -> LoadedModel:
    """Return a model of so many of the layers of a loaded one, whose adapter is merged into it.

    Raises:
        ConfigError: If it has not so many layers.
        ModelError: If its layers are not of a kind that can be taken one by one.
    """
    whole = loaded if loaded.adapter is None else merge_adapter(loaded)
    place, total = _layers(whole)
    if count > total:
        raise ConfigError(
            [f"--student-layers {count}: {loaded.name} has {total} layers: give 1 to {total}."]
        )
    kept = evenly(count, total)
    model = _new_model(whole, _settings(whole, kept, total), config)
    try:
        model.load_state_dict(_renumbered(whole.model.state_dict(), kept))
    except RuntimeError as error:
        raise _refusal(whole, "they are of several kinds, by their places") from error
    try:
        is_same = _computes_the_same(whole, model, place, set(range(total)) - set(kept))
    except REFUSALS as error:
        raise _refusal(whole, first_error_line(error)) from error
    if not is_same:
        raise _refusal(whole, "with fewer of them it computes something else")
    if hasattr(whole.model, "generation_config"):
        model.generation_config = deepcopy(whole.model.generation_config)
    return replace(loaded, model=model.eval(), adapter=None)


def _refusal(loaded: LoadedModel, why: str) -> ModelError:
    return ModelError(
        f"--student-layers: the layers of {loaded.name} cannot be taken one by one: {why}. Give "
        "another student with --model, such as scratch:TYPE in a shape of its own."
    )


def _layers(loaded: LoadedModel) -> tuple[str, int]:
    """Return the name of a model's list of layers, with a dot behind it, and their number."""
    found: dict[str, set[int]] = {}
    for name in loaded.model.state_dict():
        if match := _NUMBER.fullmatch(name):
            found.setdefault(match[1], set()).add(int(match[2]))
    stated = setting(text_config(loaded.model.config), COUNT)
    if len(found) != 1:
        lists = " and ".join(sorted(found)) or "none"
        raise _refusal(loaded, f"expected one list of layers among its weights, found {lists}")
    place, numbers = next(iter(found.items()))
    if numbers != set(range(len(numbers))) or stated != len(numbers):
        why = f"its config says {stated}, and its weights have {len(numbers)} of them"
        raise _refusal(loaded, why)
    return place, len(numbers)


def _settings(loaded: LoadedModel, kept: Sequence[int], total: int) -> dict[str, Any]:
    """Return the configuration of a model of the kept layers, lists by layer cut alike."""
    config: Any = loaded.model.config
    settings: dict[str, Any] = config.to_dict()
    for key, value in settings.items():
        if "layer" in key and isinstance(value, list) and len(value) == total:
            settings[key] = [value[number] for number in kept]
    settings[type(config).attribute_map.get(COUNT, COUNT)] = len(kept)
    return settings


def _new_model(loaded: LoadedModel, settings: dict[str, Any], config: ModelConfig) -> nn.Module:
    """Return a model of a configuration, in float32."""
    whole: Any = loaded.model.config
    keywords = attention_keyword(config.attn_implementation)
    with library_errors(f"--student-layers: a smaller {loaded.name} cannot be made"):
        shape = type(whole).from_dict(settings)
        made = auto_class(loaded.objective).from_config(
            shape, trust_remote_code=config.trust_remote_code, **keywords
        )
    return cast(nn.Module, made.float())


def _renumbered(state: Mapping[str, Tensor], kept: Sequence[int]) -> dict[str, Tensor]:
    """Return the weights of the kept layers under their new numbers, and all outside of layers."""
    renumbered = {}
    for name, tensor in state.items():
        match = _NUMBER.fullmatch(name)
        if match is None:
            renumbered[name] = tensor
        elif int(match[2]) in kept:
            renumbered[f"{match[1]}{kept.index(int(match[2]))}{match[3]}"] = tensor
    return renumbered


@torch.no_grad()
def _computes_the_same(loaded: LoadedModel, part: nn.Module, place: str, others: set[int]) -> bool:
    """Return whether a model gives the logits of the whole one without its other layers."""
    ids, logits = probe_ids(loaded.model, 2, 6), []
    plain = {"use_cache": False} if loaded.objective == "causal" else {}
    with ExitStack() as stack:
        stack.enter_context(_passed_over(loaded.model, place, others))
        for model in (loaded.model, part):
            stack.enter_context(in_mode(model, training=False))
            stack.enter_context(restored(model))
            logits.append(model(input_ids=ids, **plain).logits)
    return same_logits(*logits)


@contextmanager
def _passed_over(model: nn.Module, place: str, numbers: set[int]) -> Iterator[None]:
    """Have some layers of a model hand on what they are given."""

    def hand_on(module: nn.Module, args: Any, kwargs: dict[str, Any], output: Any) -> Any:
        hidden = args[0] if args else kwargs["hidden_states"]
        return (hidden, *output[1:]) if isinstance(output, tuple) else hidden

    handles = [
        model.get_submodule(f"{place}{number}").register_forward_hook(hand_on, with_kwargs=True)
        for number in numbers
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
