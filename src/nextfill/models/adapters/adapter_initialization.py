"""Adapters that begin as a part of the weights, from which as much is taken away beside them.

Such an adapter is computed as it is saved: what is learned and, with the other sign, what it began
as, in matrices of twice the rank on the model as it was. So nothing has to be converted, and what
is read again computes the same numbers. Only the one half is trained. A checkpoint has both, since
other machines may find other factors.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized, register_parametrization

from nextfill.models.adapters.quantization import dense_weight

_ADAPTER = "default"
_WEIGHT = "weight"

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


class _Beside(nn.Module):
    """Puts the matrix that one of an adapter's began as beside it, along a dimension."""

    begun: Tensor

    def __init__(self, begun: Tensor, dim: int) -> None:
        super().__init__()
        self.register_buffer("begun", begun)
        self.dim = dim

    def forward(self, trained: Tensor) -> Tensor:
        return torch.cat([trained, self.begun], self.dim)


@torch.no_grad()
def begin_from_weights(model: nn.Module, kind: str) -> None:
    """Have each layer's adapter begin as a part of its weight, and take that away again.

    Where a weight has fewer rows or columns than the adapter's rank, the rest of the adapter begins
    as a plain one does.
    """
    for _, layer in adapted_layers(model):
        one, other = layer.lora_A[_ADAPTER], layer.lora_B[_ADAPTER]
        new_down, new_up = FACTORS[kind](weight_by_outputs(layer), layer.scaling[_ADAPTER])
        rank = min(len(one.weight), len(new_down))
        one.weight[:rank], other.weight[:, :rank] = new_down[:rank], new_up[:, :rank]
        # Not of the shape of what is trained, which PyTorch takes for unsafe.
        register_parametrization(one, _WEIGHT, _Beside(one.weight.clone(), 0), unsafe=True)
        register_parametrization(other, _WEIGHT, _Beside(-other.weight, 1), unsafe=True)


@torch.no_grad()
def begin_as_directions(layer: Any, directions: Tensor) -> None:
    """Have a layer's adapter begin with rows for its first matrix, the rest as a plain one's."""
    down = layer.lora_A[_ADAPTER].weight
    down[: len(directions)] = directions


def plain_adapter(model: nn.Module, settings: Any) -> tuple[dict[str, Tensor] | None, Any]:
    """Return the state and the settings of an adapter for the model as it was.

    Args:
        model: The PEFT model.
        settings: Its settings.

    Returns:
        The whole state, None where it is the model's own; and the settings. An adapter that began
        as a part of the weights has twice the rank in both.
    """
    begun = [
        f"{name}.{part}.{_ADAPTER}"
        for name, layer in adapted_layers(model)
        for part in ("lora_A", "lora_B")
        if is_parametrized(getattr(layer, part)[_ADAPTER], _WEIGHT)
    ]
    if not begun:
        return None, settings
    state = {n: t for n, t in model.state_dict().items() if ".parametrizations." not in n}
    for name in begun:
        matrix: Any = model.get_submodule(name)
        state[f"{name}.{_WEIGHT}"] = matrix.weight.detach()
    plain = copy.deepcopy(settings)
    plain.r = 2 * settings.r
    plain.lora_alpha = settings.lora_alpha * (2**0.5 if settings.use_rslora else 2)
    return state, plain


def adapted_layers(model: nn.Module) -> Iterator[tuple[str, Any]]:
    """Yield the linear layers with an adapter, by name."""
    from peft.tuners.lora import LoraLayer

    for name, module in model.named_modules():
        if isinstance(module, LoraLayer) and _ADAPTER in module.lora_A:
            yield name, module


def rank_of(layer: Any) -> int:
    """Return the rank of a layer's adapter."""
    return int(layer.lora_A[_ADAPTER].out_features)


def weight_by_outputs(layer: Any) -> Tensor:
    """Return a layer's own weight, outputs by inputs."""
    weight = dense_weight(layer.get_base_layer())
    return weight.T if layer.fan_in_fan_out else weight
