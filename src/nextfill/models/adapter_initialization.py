"""Adapters that begin as a part of the weights: what they take from them, and give back.

The adapter has that part, and the model's own layers the rest, so that both together are the model
as it was. What is saved is a plain adapter for the model as it was, of twice the rank: what was
learned, less what was taken. A checkpoint has both, since other machines may find other factors.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from nextfill.core.errors import ConfigError

_ADAPTER = "default"
_DOWN, _UP = "begun_down", "begun_up"
"""Buffers of a layer with the two matrices that its adapter began as."""

Factors = Callable[[Tensor, float], tuple[Tensor, Tensor]]


def principal_factors(weight: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """Return the factors whose product times the scale is the weight, the largest part first.

    Args:
        weight: A matrix of outputs by inputs.
        scale: The adapter's.

    Returns:
        One factor onto the smaller of both sizes, and one from there.

    Source:
        Meng et al. 2024, PiSSA; as PEFT computes it.
    """
    left, values, right = torch.linalg.svd(weight, full_matrices=False)
    roots = torch.diag(torch.sqrt(values / scale))
    return roots @ right, left @ roots


def orthonormal_factors(weight: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """Return the QR factors of a weight, the triangular one first, whatever the scale.

    Source:
        Büyükakyüz 2024, OLoRA; as PEFT computes it, which takes the scale times both away.
    """
    orthonormal, triangular = torch.linalg.qr(weight)
    return triangular, orthonormal


FACTORS: Mapping[str, Factors] = {"pissa": principal_factors, "olora": orthonormal_factors}


@torch.no_grad()
def begin_from_weights(model: nn.Module, kind: str) -> None:
    """Have each layer's adapter begin as a part of its weight, which is taken from the weight.

    Where a weight has fewer rows or columns than the adapter's rank, the rest of the adapter begins
    as a plain one does.

    Raises:
        ConfigError: If a weight stands in several places, from which it would be taken twice.
    """
    places = Counter(id(one) for _, one in model.named_parameters(remove_duplicate=False))
    for name, layer in _adapted(model):
        base = layer.get_base_layer().weight
        if places[id(base)] > 1:
            raise ConfigError(
                [
                    f"--lora-init {kind} takes a part of each weight, and that of {name} stands in "
                    "several places of the model: leave it out, or name other layers with "
                    "--lora-targets."
                ]
            )
        down, up = layer.lora_A[_ADAPTER].weight, layer.lora_B[_ADAPTER].weight
        new_down, new_up = FACTORS[kind](_by_outputs(layer), layer.scaling[_ADAPTER])
        rank = min(len(down), len(new_down))
        down[:rank], up[:, :rank] = new_down[:rank], new_up[:, :rank]
        layer.register_buffer(_DOWN, down.clone())
        layer.register_buffer(_UP, up.clone())
        _by_outputs(layer).sub_(_product(layer))


@contextmanager
def parts_taken_again(model: nn.Module) -> Iterator[None]:
    """Give the weights what was taken, and take what the adapters began as where that is changed.

    Around the loading of a checkpoint; where it holds what is there already, nothing is touched.
    """
    before = [(layer, *_begun(layer), _product(layer)) for layer in _begun_layers(model)]
    yield
    with torch.no_grad():
        for layer, down, up, product in before:
            now = _begun(layer)
            if not (torch.equal(down, now[0]) and torch.equal(up, now[1])):
                _by_outputs(layer).add_(product).sub_(_product(layer))


def plain_adapter(model: nn.Module, settings: Any) -> tuple[dict[str, Tensor] | None, Any]:
    """Return the state and the settings of an adapter for the model as it was.

    Args:
        model: The PEFT model.
        settings: Its settings.

    Returns:
        The whole state, None where it is the model's own; and the settings. An adapter that began
        as a part of the weights has twice the rank in both: its own matrices, and those it began
        as, the second of which with the other sign.
    """
    begun = {name: layer for name, layer in _adapted(model) if layer in _begun_layers(model)}
    if not begun:
        return None, settings
    state = {n: t for n, t in model.state_dict().items() if not n.endswith((_DOWN, _UP))}
    for name, layer in begun.items():
        down, up = _begun(layer)
        one, other = f"{name}.lora_A.{_ADAPTER}.weight", f"{name}.lora_B.{_ADAPTER}.weight"
        state[one] = torch.cat([state[one], down])
        state[other] = torch.cat([state[other], -up], dim=1)
    plain = copy.deepcopy(settings)
    plain.r = 2 * settings.r
    plain.lora_alpha = settings.lora_alpha * (2**0.5 if settings.use_rslora else 2)
    return state, plain


def _adapted(model: nn.Module) -> Iterator[tuple[str, Any]]:
    """Yield the linear layers with an adapter, by name."""
    from peft.tuners.lora import LoraLayer

    for name, module in model.named_modules():
        if isinstance(module, LoraLayer) and _ADAPTER in module.lora_A:
            yield name, module


def _begun_layers(model: nn.Module) -> list[Any]:
    return [one for one in model.modules() if isinstance(getattr(one, _DOWN, None), Tensor)]


def _begun(layer: Any) -> tuple[Tensor, Tensor]:
    return getattr(layer, _DOWN).clone(), getattr(layer, _UP).clone()


def _product(layer: Any) -> Tensor:
    """Return what was taken from a layer's weight, outputs by inputs."""
    down, up = _begun(layer)
    product: Tensor = layer.scaling[_ADAPTER] * up @ down
    return product


def _by_outputs(layer: Any) -> Tensor:
    """Return a layer's own weight, outputs by inputs, to be changed in place."""
    weight: Tensor = layer.get_base_layer().weight.data
    return weight.T if layer.fan_in_fan_out else weight
