"""The layers that an adapter goes on: linear ones, and the weights of experts that are kept as one.

transformers keeps the experts of a mixture in one parameter of three dimensions, which PEFT adapts
where it stands. No architecture is named: what PEFT takes is found by asking it on a copy of the
model without memory.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from nextfill.config import LoraConfig
from nextfill.core.errors import ConfigError, nearest
from nextfill.core.shell_command import shell_word
from nextfill.models.adapters.peft_injection import inject, peft_settings
from nextfill.models.libraries import REFUSALS
from nextfill.models.loaded_model import LoadedModel
from nextfill.models.trained_parameters import norm_names

_OF_EXPERTS = 3
"""Dimensions of a parameter that holds all experts: one each, outputs and inputs."""


@dataclass(frozen=True)
class AdaptedLayers:
    """What an adapter goes on, by the ends of the names.

    Args:
        layers: Linear layers.
        parameters: Weights that PEFT adapts where they stand, such as ``experts.down_proj``.
        head: The whole name of the head, where that is adapted.
        norms: Norms that are trained whole.
    """

    layers: tuple[str, ...] = ()
    parameters: tuple[str, ...] = ()
    head: str | None = None
    norms: tuple[str, ...] = ()

    @property
    def modules(self) -> list[str]:
        """What PEFT is to put layers around."""
        return [*self.layers, *([] if self.head is None else [self.head])]


def adaptable_layers(model: nn.Module) -> dict[str, nn.Module]:
    """Return the linear layers that an adapter goes on, by name: all but head and embeddings.

    Source:
        Dettmers et al. 2023, QLoRA, section 4: adapters on every linear layer of the blocks match
        full fine-tuning, on attention alone they do not.
    """
    from transformers.pytorch_utils import Conv1D

    head = model.get_output_embeddings()  # type: ignore[operator]
    words = model.get_input_embeddings()  # type: ignore[operator]
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear | Conv1D)
        and module is not head
        and module.weight is not getattr(words, "weight", None)
        and _gives_a_tensor(module)
    }


def _gives_a_tensor(layer: Any) -> bool:
    """Tell a layer that an adapter can add to from a router, which gives scores and choices."""
    from transformers.pytorch_utils import Conv1D

    if type(layer).forward in (nn.Linear.forward, Conv1D.forward):
        return True
    try:
        outputs = _without_memory(layer)(torch.empty(1, layer.in_features, device="meta"))
    except REFUSALS:
        return False
    return isinstance(outputs, torch.Tensor)


def head_name(model: nn.Module) -> str | None:
    """Return the name of the head where that is a linear layer, None elsewhere."""
    head = model.get_output_embeddings()  # type: ignore[operator]
    if not isinstance(head, nn.Linear):
        return None
    return next((name for name, module in model.named_modules() if module is head), None)


def expert_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return the parameters that hold the weights of all experts of a layer, by name."""
    return {
        f"{module_name}.{name}": parameter
        for module_name, module in model.named_modules()
        for name, parameter in module.named_parameters(recurse=False)
        if parameter.dim() == _OF_EXPERTS and _holds_experts(module, len(parameter))
    }


def _holds_experts(module: nn.Module, count: int) -> bool:
    """Tell a module of experts, by their number or, where some are of another kind, its class."""
    return getattr(module, "num_experts", None) == count or "Expert" in type(module).__name__


def choose_layers(loaded: LoadedModel, lora: LoraConfig) -> AdaptedLayers:
    """Return the layers that are named, or all that PEFT takes.

    Raises:
        ConfigError: If a name is none of the model's, there are no such layers, or what the
            settings ask for cannot be had of experts.
    """
    layers = {_end(name) for name in adaptable_layers(loaded.model)}
    experts = {_end(name, 2) for name in expert_parameters(loaded.model)}
    if lora.targets:
        layers, experts = _named(lora.targets, layers, experts, head_name(loaded.model))
    if not (layers or experts):
        raise ConfigError([f"{loaded.name} has no linear layer that an adapter can go on."])
    trial = _Trial(loaded.model)
    chosen = trial.accepted(layers, experts)
    if lora.targets and (refused := trial.refused):
        raise ConfigError(
            [
                f"--lora-targets: PEFT puts no adapter on {', '.join(refused)} of {loaded.name}, "
                "past which a fused kernel goes: name others."
            ]
        )
    if not (chosen.layers or chosen.parameters):
        raise ConfigError([f"{loaded.name} has no linear layer that an adapter can go on."])
    _check_parameters(lora, chosen, loaded.name)
    chosen = replace(chosen, head=_head(loaded)) if lora.head else chosen
    chosen = replace(chosen, norms=_norms(loaded)) if lora.norms else chosen
    _check_rank(lora.rank or 0, loaded, chosen)
    return chosen


def _head(loaded: LoadedModel) -> str:
    """Return the name of the head, which an adapter is asked for."""
    name = head_name(loaded.model)
    if name is None:
        raise ConfigError(
            [
                f"--lora-head: transformers names no linear layer as the head of {loaded.name}: "
                "leave it out."
            ]
        )
    return name


def _norms(loaded: LoadedModel) -> tuple[str, ...]:
    """Return the norms that have weights, by the ends of their names where these tell them."""
    norms = {name.rpartition(".")[0] for name in norm_names(loaded.model)}
    if not norms:
        raise ConfigError(
            [f"--lora-norms: {loaded.name} has no norm with weights of its own: leave it out."]
        )
    ends = tuple(sorted(map(_end, norms)))
    names = (name for name, _ in loaded.model.named_modules())
    if {name for name in names if name.endswith(ends)} == norms:  # as PEFT goes by them
        return tuple(dict.fromkeys(ends))
    return tuple(sorted(norms))


def _end(name: str, parts: int = 1) -> str:
    return ".".join(name.split(".")[-parts:])


def _named(
    text: str, layers: set[str], experts: set[str], head: str | None
) -> tuple[set[str], set[str]]:
    """Return the layers and the experts' weights that are named, the latter also by their ends."""
    wanted = [target.strip() for target in text.split(",")]
    if all_of := {"all-linear", "all"} & {*wanted}:  # as PEFT and LLaMA-Factory have it
        raise ConfigError(
            [f"--lora-targets {all_of.pop()}: every linear layer is the default: leave it out."]
        )
    if head and {head, _end(head)} & {*wanted} - layers:
        raise ConfigError(
            [f"--lora-targets: {_end(head)} is the head: take it out, and give --lora-head."]
        )
    of_experts = {name: {name} for name in experts}
    for name in experts:
        of_experts.setdefault(_end(name), set()).add(name)
    names = layers | experts
    problems = [
        f"--lora-targets: the model has no linear layer '{name}'.{nearest(name, names)} "
        f"There are: {', '.join(sorted(names))}."
        for name in wanted
        if name not in layers and name not in of_experts
    ]
    if problems:
        group = {name for name in experts if {"expert", "experts"} & {*wanted}}
        held = [name for name in wanted if name in layers or name in of_experts]
        typed = ",".join(dict.fromkeys([*held, *sorted(group or names)]))
        command = f"--lora-targets {shell_word(typed)}"
        problems[-1] += f" Type: {command}"
        raise ConfigError(problems)
    found = [of_experts.get(name, set()) for name in wanted]
    return layers & {*wanted}, set().union(*found)


def _check_parameters(lora: LoraConfig, chosen: AdaptedLayers, name: str) -> None:
    """Refuse what PEFT does not have for weights that it adapts where they stand."""
    asked = {
        "--lora-dropout": lora.dropout > 0,
        "--lora-dora": lora.dora,
        f"--lora-init {lora.init}": lora.init != "zero",
    }
    if not chosen.parameters or not any(asked.values()):
        return
    flags = " and ".join(flag for flag, is_asked in asked.items() if is_asked)
    advice = (
        f", or name linear layers alone: --lora-targets {','.join(chosen.layers)}"
        if chosen.layers
        else ""
    )
    raise ConfigError(
        [
            f"{flags}: PEFT has no such adapter for experts that share one weight, as "
            f"{', '.join(chosen.parameters)} of {name}: leave it out{advice}."
        ]
    )


def _check_rank(rank: int, loaded: LoadedModel, chosen: AdaptedLayers) -> None:
    """Refuse a rank that no adapted weight can have, which has its smaller side at most."""
    weights = {
        **{
            f"{name}.weight": one.weight
            for name, one in loaded.model.named_modules()
            if name == chosen.head or (_end(name) in chosen.layers and hasattr(one, "weight"))
        },
        **{
            name: one
            for name, one in loaded.model.named_parameters()
            if _end(name, 2) in chosen.parameters
        },
    }
    most = max((min(one.shape[-2:]) for one in weights.values() if one.dim() > 1), default=rank)
    if rank > most:
        raise ConfigError(
            [
                f"--lora-rank {rank:,}: of the weights of {loaded.name} that get an adapter none "
                f"can change by a rank above {most:,}, its smaller side: give {most:,} or less, or "
                "leave --lora-rank out to train all weights."
            ]
        )


class _Trial:
    """What PEFT puts an adapter on, tried on copies of a model without memory."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.layers: Mapping[str, nn.Module] = adaptable_layers(model)
        self.refused: list[str] = []

    def accepted(self, layers: set[str], experts: set[str]) -> AdaptedLayers:
        """Return what of the names PEFT takes, and how; the rest is `refused`.

        A layer whose name PEFT takes for one of experts', as older models had them apart, is
        adapted as the parameter that it has.
        """
        if self._takes(layers, experts):
            return AdaptedLayers(tuple(sorted(layers)), tuple(sorted(experts)))
        taken = [name for name in sorted(layers) if self._takes([name], [])]
        others = [name for name in sorted(layers) if name not in taken]
        as_weights = [f"{name}.weight" for name in others if self._takes([], [f"{name}.weight"])]
        of_experts = [name for name in sorted(experts) if self._takes([], [name])]
        self.refused = [name for name in others if f"{name}.weight" not in as_weights]
        self.refused += [name for name in sorted(experts) if name not in of_experts]
        return AdaptedLayers(tuple(taken), tuple(sorted([*as_weights, *of_experts])))

    def _takes(self, layers: Iterable[str], parameters: Iterable[str]) -> bool:
        """Tell whether all of the names get an adapter, each as it is named."""
        layers, parameters = [*layers], [*parameters]
        empty = _without_memory(self.model)
        settings = peft_settings(LoraConfig(rank=1), layers, parameters, None, is_conv1d=False)
        try:
            with warnings.catch_warnings(action="ignore"):
                inject(empty, settings)
        except ValueError:
            return False
        wanted = {name for name in self.layers if _end(name) in layers}
        wanted |= {name for name in self.layers if f"{_end(name)}.weight" in parameters}
        return wanted <= {*_adapted(empty)} and not settings.rank_pattern


def _without_memory(model: nn.Module) -> nn.Module:
    """Return a copy of a model whose parameters have shapes alone."""
    empty: dict[int, Any] = {
        id(one): nn.Parameter(one.detach().to("meta"), one.requires_grad)
        for one in model.parameters()
    }
    empty |= {id(one): one.detach().to("meta") for one in model.buffers()}
    return copy.deepcopy(model, empty)  # which takes these for those of the model


def _adapted(model: nn.Module) -> Iterator[str]:
    from peft.tuners.lora import LoraLayer

    for name, module in model.named_modules():
        if isinstance(module, LoraLayer):
            yield name
