"""A trained model read from a folder; never a random layer where weights were meant.

Only safetensors are read. Weights come in float32, whatever the checkpoint's type, because these
are the master weights that training updates. Before any weight is read, the model is made without
memory and held against the headers of its files.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import get_ident
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_module

from nextfill.config import Attention, Objective
from nextfill.core.errors import ModelError
from nextfill.models.architecture import embedding_rows, set_dropout
from nextfill.models.documents.attention import attention_errors, attention_keyword
from nextfill.models.documents.causality import tried_model
from nextfill.models.folder.configuration import (
    CONFIG,
    GENERATION_CONFIG,
    check_layers,
    check_special_ids,
    forget_ids,
    read_config,
    read_json,
    transformers_config,
)
from nextfill.models.folder.location import Place
from nextfill.models.folder.model_files import TensorHeader, read_headers, weight_files
from nextfill.models.libraries import auto_class, library_errors, model_class, quiet_transformers
from nextfill.models.loaded_model import LoadedModel
from nextfill.models.model_making import making_models
from nextfill.models.objective import choose_objective

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

_SLACK = 2**22
_SLACK_TENSORS = 1000
_SLACK_MODULES = 20_000
_BUFFERS = 2**27


def read_model(
    place: Place,
    tokenizer: Any,
    *,
    objective: Objective | None,
    dropout: float | None,
    trust_remote_code: bool,
    attention: Attention | None = None,
) -> LoadedModel:
    """Read a causal or masked language model in float32.

    None leaves its objective, its dropout and its implementation of attention.
    """
    folder, name = place.folder, place.name
    outline = read_outline(
        folder,
        name,
        objective=objective,
        dropout=dropout,
        trust_remote_code=trust_remote_code,
    )
    if "(bitsandbytes)" in (quantized := _of_quantized(outline.config)):  # ours are, of whole ones
        raise ModelError(f"The model {name} cannot be loaded. {quantized}")
    unexpected = set(outline.unexpected)

    def build(config: Any) -> nn.Module:
        with (
            attention_errors(attention, name),
            library_errors(f"The model {name} cannot be loaded", _of_quantized(outline.config)),
        ):
            model, info = auto_class(outline.objective).from_pretrained(
                folder,
                config=config,
                dtype=torch.float32,
                use_safetensors=True,
                trust_remote_code=trust_remote_code,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # so that they are listed, and refused below
                **attention_keyword(attention),
            )
        unexpected.update(_check_loading(name, model, info))
        recommended = getattr(model, "generation_config", None)
        forget_ids(recommended, config.model_type, embedding_rows(model))
        check_numbers(model, name)
        return cast(nn.Module, model)

    model, changes = tried_model(outline.objective, outline.config, build, name)
    return LoadedModel(
        model,
        tokenizer,
        name,
        outline.objective,
        revision=place.revision,
        unexpected=tuple(sorted(unexpected)),
        changes=changes,
        folders=(folder,),
    )


@dataclass(frozen=True)
class Outline:
    """The configuration of a model and its parts, before its weights are read.

    Args:
        config: Its configuration, as transformers has it.
        objective: The objective to use it with.
        model: Its parameters have sizes and no memory; None where only its own code can make it.
        unexpected: Names of weights in the checkpoint that it has no place for.
    """

    config: Any
    objective: Objective
    model: nn.Module | None
    unexpected: tuple[str, ...]


@making_models()
def read_outline(
    folder: Path,
    name: str,
    *,
    objective: Objective | None,
    dropout: float | None = None,
    trust_remote_code: bool,
) -> Outline:
    """Read a model's configuration and the headers of its weights, and hold them together."""
    quiet_transformers()
    settings = read_config(folder, name)
    headers = read_headers(weight_files(folder, settings, name))
    check_layers(settings, len(headers), folder)
    config = transformers_config(folder, name, trust_remote_code=trust_remote_code)
    set_dropout(config, dropout)
    chosen = choose_objective(config, objective, name)
    own_code = trust_remote_code and "auto_map" in settings
    if own_code or settings.get("quantization_config") is not None:
        return Outline(config, chosen, None, ())  # which transformers holds together alone
    model, unexpected = _load_without_memory(config, chosen, headers, name)
    rows = embedding_rows(model)
    kind = settings.get("model_type")
    check_special_ids(settings, rows, folder / CONFIG, kind)
    if (path := folder / GENERATION_CONFIG).is_file():
        check_special_ids(read_json(path), rows, path, kind)
    forget_ids(config, kind, rows)
    return Outline(config, chosen, model, unexpected)


def _load_without_memory(
    config: Any, objective: Objective, headers: Mapping[str, TensorHeader], name: str
) -> tuple[nn.Module, tuple[str, ...]]:
    """Return a model without memory for its weights, and the names of unexpected weights."""
    weights = {key: _empty(key, header, name) for key, header in headers.items()}
    with library_errors(f"The model {name} cannot be loaded"), _bounded_size(headers, name):
        kind, part = model_class(config, objective)
        model, info = kind.from_pretrained(
            None,
            config=part,
            state_dict=weights,
            dtype=torch.float32,
            device_map={"": torch.device("meta")},
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # so that they are listed, and refused
        )
    _check_types(model, headers, name)
    return model, tuple(sorted(_check_loading(name, model, info)))


def _of_quantized(config: Any) -> str:
    """Return what to type in place of a model with quantized weights, or ""."""
    settings = getattr(config, "quantization_config", None)
    if settings is None:
        return ""
    own = settings if isinstance(settings, dict) else {}
    method = own.get("quant_method", getattr(settings, "quant_method", None))
    return (
        f"Its weights are quantized ({getattr(method, 'value', method)}), which needs another "
        "program and often a GPU: name the model that it was made from."
    )


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
    floating = {key for key, tensor in model.state_dict().items() if tensor.is_floating_point()}
    wrong = [
        key
        for key, header in headers.items()
        if not header.is_floating and (key in floating or f"{prefix}{key}" in floating)
    ]
    if wrong:
        raise ModelError(
            f"{name}: the weights of {wrong[0]} are of type {headers[wrong[0]].kind}, whole "
            "numbers; expected fractions, such as F32 or BF16. Fetch them again."
        )


def _check_loading(name: str, model: Any, info: Mapping[str, Any]) -> set[str]:
    """Refuse weights that did not fit in a loading; return the names of unexpected ones."""
    check_complete(
        name,
        type(model).__name__,
        missing=info["missing_keys"],
        mismatched=[str(item[0]) for item in info["mismatched_keys"]],
    )
    return set(info["unexpected_keys"])


def check_complete(name: str, kind: str, *, missing: Any, mismatched: Any) -> None:
    """Refuse weights that leave a part of a model random."""
    if missing or mismatched:
        raise ModelError(
            f"{name} lacks weights that a {kind} needs, and they would be random: "
            f"{_some(sorted(missing), 'missing')}{_some(sorted(mismatched), 'of another shape')}"
            "Give the checkpoint of a whole language model."
        )


def _some(names: list[str], problem: str) -> str:
    if not names:
        return ""
    shown = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
    return f"{len(names)} {problem} ({shown}). "


def check_numbers(model: nn.Module, name: str) -> None:
    """Refuse weights that are no numbers, of which every figure would be none."""
    broken = {
        key: int((~weight.isfinite()).sum())
        for key, weight in model.named_parameters()
        # A sum of many numbers shows one that is none in a fraction of the time.
        if weight.is_floating_point() and not weight.detach().sum().isfinite()
    }
    broken = {key: count for key, count in broken.items() if count}
    if broken:
        first, count = next(iter(broken.items()))
        raise ModelError(
            f"The weights of {name} are damaged: {count:,} of {first} are infinite or no numbers "
            f"(NaN), and so are some of {len(broken) - 1} other tensors: fetch them again, or take "
            "an earlier checkpoint."
        )


@contextmanager
def _bounded_size(headers: Mapping[str, TensorHeader], name: str) -> Iterator[None]:
    """Stop the making of a model that is far larger than its weights."""
    numbers = sum(header.numbers for header in headers.values())
    limits = {
        # A weight may be used under several names, and an old checkpoint have several in one.
        "numbers": 4 * numbers + _SLACK,
        "tensors": 4 * len(headers) + _SLACK_TENSORS,
        "parts": 20 * len(headers) + _SLACK_MODULES,
        # Tables that a model computes for itself: masks and positions.
        "numbers in its tables": 4 * numbers + _BUFFERS,
    }
    made = dict.fromkeys(limits, 0)
    thread = get_ident()

    def count(kind: str, more: int) -> None:
        if get_ident() != thread:  # a program's own model, as the hooks are of the whole process
            return
        made[kind] += more
        if made[kind] > limits[kind]:
            raise ModelError(
                f"The configuration of {name} makes a model of more than {limits[kind]:,} {kind}, "
                f"and its weights are {numbers:,} numbers in {len(headers):,} tensors: they do not "
                "belong together. Fetch config.json and the weights again."
            )

    def on_parameter(module: nn.Module, key: str, parameter: Any) -> None:
        count("numbers", parameter.numel())
        count("tensors", 1)

    def on_buffer(module: nn.Module, key: str, buffer: Any) -> None:
        if isinstance(buffer, Tensor):
            count("numbers in its tables", buffer.numel())

    def on_module(module: nn.Module, key: str, part: Any) -> None:
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
