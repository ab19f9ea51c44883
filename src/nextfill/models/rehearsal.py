"""Load a model without its weights: whether its configuration and their headers agree.

transformers itself loads, with tensors of the right names, shapes and types on PyTorch's device
without memory, so that everything that it renames, joins and leaves out is as in earnest. What the
configuration makes is counted as it is made and stopped where it outgrows the weights: one of a
million layers would take minutes and gigabytes of modules alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_module

from nextfill.config import Objective
from nextfill.errors import ModelError
from nextfill.models.headers import TensorHeader
from nextfill.models.library_errors import library_errors
from nextfill.models.objective import auto_class

_TYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


@dataclass(frozen=True)
class Rehearsal:
    """What loading will come to.

    Args:
        model: The model, whose parameters have sizes and no memory.
        missing: Names of parameters that the weights lack.
        mismatched: Names of parameters that have another shape in the weights.
        unexpected: Names of weights that the model has no place for.
    """

    model: nn.Module
    missing: tuple[str, ...]
    mismatched: tuple[str, ...]
    unexpected: tuple[str, ...]


def rehearse(
    shape: Any, objective: Objective, headers: Mapping[str, TensorHeader], name: str
) -> Rehearsal:
    """Load a model of transformers' own without its weights.

    Args:
        shape: Its configuration.
        objective: What it is to be used for.
        headers: Its weights.
        name: As the user wrote it, for messages.

    Raises:
        ModelError: If the configuration makes no model, or one that is far larger than its weights.
    """
    weights = {key: _empty(key, header, name) for key, header in headers.items()}
    with library_errors(f"The model {name} cannot be loaded"), bounded_size(headers, name):
        kind, its_shape = model_class(shape, objective)
        model, info = kind.from_pretrained(
            None,
            config=its_shape,
            state_dict=weights,
            dtype=torch.float32,
            device_map={"": torch.device("meta")},
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # so that they are listed, and refused
        )
    _check_types(model, headers, name)
    return Rehearsal(
        cast(nn.Module, model),
        tuple(sorted(info["missing_keys"])),
        tuple(sorted(str(item[0]) for item in info["mismatched_keys"])),
        tuple(sorted(info["unexpected_keys"])),
    )


def model_class(shape: Any, objective: Objective) -> tuple[Any, Any]:
    """Return transformers' class for a configuration, and the part of it that makes the model."""
    from transformers.models.auto.auto_factory import _get_model_class

    mapping = auto_class(objective)._model_mapping
    kind = _get_model_class(shape, mapping)
    part = shape.sub_configs.get("text_config")
    of_text = part is not None and getattr(kind, "config_class", None) == part
    return kind, shape.get_text_config() if of_text else shape


def _empty(key: str, header: TensorHeader, name: str) -> Tensor:
    if header.kind not in _TYPES:
        raise ModelError(
            f"{name}: the weights of {key} are of type {header.kind}; expected one of "
            f"{', '.join(_TYPES)}."
        )
    return torch.empty(header.shape, dtype=_TYPES[header.kind], device="meta")


def _check_types(model: nn.Module, headers: Mapping[str, TensorHeader], name: str) -> None:
    """Refuse whole numbers where weights are meant, which transformers would convert."""
    prefix = f"{getattr(model, 'base_model_prefix', '')}."
    own = {key: tensor for key, tensor in model.state_dict().items() if tensor.is_floating_point()}
    wrong = [
        key
        for key, header in headers.items()
        if not header.is_floating and (key in own or f"{prefix}{key}" in own)
    ]
    if wrong:
        raise ModelError(
            f"{name}: the weights of {wrong[0]} are of type {headers[wrong[0]].kind}, whole "
            "numbers; expected fractions, such as F32 or BF16. Fetch them again."
        )


_SLACK = 2**22
_SLACK_TENSORS = 1000
_SLACK_MODULES = 20_000
_BUFFERS = 2**27


@contextmanager
def bounded_size(headers: Mapping[str, TensorHeader], name: str) -> Iterator[None]:
    """Stop the making of a model that is far larger than its weights.

    Args:
        headers: The weights.
        name: As the user wrote it, for messages.

    Raises:
        ModelError: From within, with what the weights hold.
    """
    held = sum(header.numbers for header in headers.values())
    limits = {
        # A weight may be used under several names, and an old checkpoint have several in one.
        "numbers": 4 * held + _SLACK,
        "tensors": 4 * len(headers) + _SLACK_TENSORS,
        "parts": 20 * len(headers) + _SLACK_MODULES,
        # Tables that a model computes for itself: masks and positions.
        "numbers in its tables": 4 * held + _BUFFERS,
    }
    made = dict.fromkeys(limits, 0)

    def count(what: str, more: int) -> None:
        made[what] += more
        if made[what] > limits[what]:
            raise ModelError(
                f"The configuration of {name} makes a model of more than {limits[what]:,} {what}, "
                f"and its weights are {held:,} numbers in {len(headers):,} tensors: they do not "
                "belong together. Fetch config.json and the weights again."
            )

    def on_parameter(module: nn.Module, key: str, parameter: Any) -> None:
        count("numbers", parameter.numel())
        count("tensors", 1)

    def on_buffer(module: nn.Module, key: str, buffer: Any) -> None:
        if isinstance(buffer, Tensor):
            count("numbers in its tables", buffer.numel())

    def on_module(module: nn.Module, key: str, inner: Any) -> None:
        count("parts", 1)

    handles = [
        torch_module.register_module_parameter_registration_hook(on_parameter),
        torch_module.register_module_buffer_registration_hook(on_buffer),
        torch_module.register_module_module_registration_hook(on_module),
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
