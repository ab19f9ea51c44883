"""A model's linear layers held in 4 bits, its record beside an adapter's weights, and back again.

An adapter is for the base that it was trained over. PEFT's settings of it have no field for how
that was held, so that a file of ours says so, by which the same numbers are made of the base again.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from nextfill.core.amounts import amount
from nextfill.core.errors import ConfigError, ModelError
from nextfill.models.folder.configuration import read_json
from nextfill.models.libraries import library_errors, quiet_bitsandbytes

if TYPE_CHECKING:
    from nextfill.models.adapters.nf4_linear import Nf4Linear

QUANTIZATION_FILE = "nextfill_quantization.json"
"""Name of the record beside an adapter's settings."""
NF4 = "nf4"
BLOCK_SIZE = 64
"""Numbers that share a scale; the scales are held in 8 bits, and those of 256 share one."""
INSTALL_QUANTIZATION = "pip install 'nextfill[quantization]'"

_RECORD: dict[str, Any] = {"type": NF4, "block_size": BLOCK_SIZE, "double_quantization": True}


@dataclass(frozen=True)
class Quantization:
    """The layers of a model that are held in 4 bits.

    Args:
        layers: Their names.
        left: Names of the other linear layers, the head's among them.
        weights: Number of the weights that are held so.
        bytes_before: Bytes that these took.
        bytes_now: Bytes that they take, their scales with them.
    """

    layers: tuple[str, ...]
    left: tuple[str, ...]
    weights: int
    bytes_before: int
    bytes_now: int


def check_bitsandbytes(needed_by: str) -> None:
    """Refuse what needs bitsandbytes where it is not installed.

    Raises:
        ConfigError: With the command that installs it.
    """
    if importlib.util.find_spec("bitsandbytes") is None:
        raise ConfigError(
            [
                f"{needed_by} needs bitsandbytes, which is not installed. Type: "
                f"{INSTALL_QUANTIZATION}"
            ]
        )


@torch.no_grad()
def quantize(model: nn.Module, names: Sequence[str], needed_by: str) -> Quantization:
    """Hold linear layers in 4 bits from here on, in place, one after the other.

    Args:
        model: The model, in float32.
        names: Names of the layers.
        needed_by: What asks for it, for messages.

    Source:
        Dettmers et al. 2023, QLoRA: 4-bit NormalFloat with double quantisation.
    """
    check_bitsandbytes(needed_by)
    quiet_bitsandbytes()
    with library_errors(f"{needed_by}: bitsandbytes cannot be used here"):
        from nextfill.models.adapters.nf4_linear import Nf4Linear
    weights = before = now = 0
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # a mean of many numbers depends on who adds up which
    try:
        for name in names:
            layer = model.get_submodule(name)
            own: Any = layer.weight
            weights, before = weights + own.numel(), before + own.nbytes
            held = Nf4Linear(layer, BLOCK_SIZE)
            now += held.weight.nbytes + sum(one.nbytes for one in _scales(held))
            model.set_submodule(name, held)
    finally:
        torch.set_num_threads(threads)
    _leave_files(model)
    left = tuple(name for name in linear_layers(model) if name not in {*names})
    return Quantization(tuple(names), left, weights, before, now)


def _leave_files(model: nn.Module) -> None:
    """Copy the other weights, so that the memory of the whole ones can go.

    Those of a checkpoint are views of a file that is mapped, of which any one keeps all.
    """
    for one in chain(model.parameters(), model.buffers()):
        if one.is_floating_point():
            one.data = one.data.clone()


def linear_layers(model: nn.Module) -> dict[str, nn.Module]:
    """Return all linear layers of a model, by name."""
    from transformers.pytorch_utils import Conv1D

    return {n: m for n, m in model.named_modules() if isinstance(m, nn.Linear | Conv1D)}


def is_quantizable(layer: nn.Module) -> bool:
    """Tell whether a layer is a linear one and no more, the rows of whose weight are whole blocks.

    In other rows bitsandbytes on a processor (0.50) takes one block's scale for another's, by which
    weights are wrong by up to half of the largest, where a GPU has the right ones.

    Example:
        >>> is_quantizable(nn.Linear(128, 5)), is_quantizable(nn.Linear(96, 5))
        (True, False)
    """
    from transformers.pytorch_utils import Conv1D

    if type(layer) not in (nn.Linear, Conv1D):  # such as a router, which computes more
        return False
    weight: Any = layer.weight
    inputs = weight.shape[1] if isinstance(layer, nn.Linear) else weight.shape[0]
    return int(inputs) % BLOCK_SIZE == 0


def dequantize(model: nn.Module) -> None:
    """Give the layers that are held in 4 bits dense weights, in place, of the same numbers."""
    for name, layer in list(_held(model)):
        model.set_submodule(name, layer.dense())


def is_quantized(model: nn.Module) -> bool:
    """Tell whether a model has layers that are held in 4 bits."""
    return next(_held(model), None) is not None


def dense_weight(layer: nn.Module) -> Tensor:
    """Return the weight of a linear layer as it is computed with."""
    kind, whole = _nf4_class(), layer.weight
    if kind is not None and isinstance(layer, kind):
        return layer.dense_weight()
    return whole.data  # type: ignore[return-value]


def num_weights(parameter: Tensor) -> int:
    """Return how many numbers a parameter holds, of one in 4 bits those that it stands for."""
    state = getattr(parameter, "quant_state", None)
    return parameter.numel() if state is None else int(state.shape.numel())


def _held(model: nn.Module) -> Iterator[tuple[str, Any]]:
    if (kind := _nf4_class()) is not None:
        yield from ((n, m) for n, m in model.named_modules() if isinstance(m, kind))


def _nf4_class() -> type[Nf4Linear] | None:
    """Return the class of layers in 4 bits, None while nothing has made one."""
    module = sys.modules.get("nextfill.models.adapters.nf4_linear")
    return None if module is None else module.Nf4Linear


def _scales(held: Any) -> list[Tensor]:
    state = held.weight.quant_state
    return [state.absmax, state.offset, state.state2.absmax]


def write_quantization(quantization: Quantization, folder: Path) -> None:
    """Write how an adapter's base was held beside its weights."""
    record = {**_RECORD, "layers": list(quantization.layers)}
    text = json.dumps(record, indent=2, sort_keys=True) + "\n"
    (folder / QUANTIZATION_FILE).write_text(text, "utf-8")


def read_quantization(folder: Path, known: dict[str, nn.Module]) -> list[str] | None:
    """Return the layers that an adapter's base is to be held in 4 bits in, None for whole ones.

    Args:
        folder: That of the adapter.
        known: The layers that can be, by name.
    """
    path = folder / QUANTIZATION_FILE
    if not path.is_file():
        return None
    record = read_json(path)
    layers = record.get("layers")
    for key, value in _RECORD.items():
        if record.get(key) != value:
            raise ModelError(
                f"{path} says {key} is {str(record.get(key))[:80]!r}; expected {value!r}. It is of "
                "another version of Nextfill, or damaged: fetch the adapter again."
            )
    if not isinstance(layers, list) or not layers or not all(isinstance(n, str) for n in layers):
        raise ModelError(f"{path} is damaged: expected the names of layers under 'layers'.")
    if strange := [name for name in layers if name not in known]:
        raise ModelError(
            f"{path} names {amount(len(strange), 'layer')} that the model has not, or that cannot "
            f"be held in 4 bits ({', '.join(strange[:3])[:200]}): the adapter is for another model."
        )
    return list(dict.fromkeys(layers))
