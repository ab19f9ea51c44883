"""What a model's weights are, by the headers of their files alone: names, shapes and types.

The files are found as transformers finds them, and only those that end in ``.safetensors`` and lie
in the folder are taken: an index, or a configuration, may name any file, and others are pickles,
which run code when they are read.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_module

from nextfill.config import Objective
from nextfill.core.errors import ModelError
from nextfill.models.model_folder import MEGABYTE, check_file, library_errors, read_json
from nextfill.models.model_objective import auto_class

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
_LONGEST_HEADER = 32 * MEGABYTE
_DISTRIBUTED = "shard-[0-9][0-9][0-9][0-9][0-9]-model-*.safetensors"
"""Files that transformers takes for a checkpoint of torch.distributed, before any other."""


@dataclass(frozen=True)
class TensorHeader:
    """What a header says of a tensor.

    Args:
        shape: Its sizes.
        kind: Its type, as safetensors names it: ``F32``, ``BF16``, ``I64``.
    """

    shape: tuple[int, ...]
    kind: str

    @property
    def is_floating(self) -> bool:
        """Whether it holds fractions, as weights do."""
        return self.kind.startswith(("F", "BF"))

    @property
    def numbers(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)


def weight_files(folder: Path, config: Mapping[str, Any], name: str) -> list[Path]:
    """Return the files that a model's weights are read from."""
    for shard in sorted(folder.glob(_DISTRIBUTED)):
        raise ModelError(
            f"{shard} is a part of a checkpoint that many processes wrote, which is not read: save "
            "the model with transformers' save_pretrained from one process."
        )
    named = config.get("transformers_weights")
    if named is not None:
        single = named if isinstance(named, str) else repr(named)
        file = _inside(folder, single, "config.json (transformers_weights)")
        return _by_index(folder, file) if single.endswith(".index.json") else [file]
    if (folder / SINGLE).is_file():
        return [folder / SINGLE]
    if (folder / INDEX).is_file():
        return _by_index(folder, folder / INDEX)
    found = sorted(p.name for p in folder.glob("*") if p.suffix in _WEIGHT_SUFFIXES)
    what = f"found {', '.join(found[:5])}" if found else "found no weights at all"
    raise ModelError(
        f"{name} has no .safetensors weights ({what} in {folder}; expected {SINGLE}, or {INDEX} "
        "and the files that it names). Pickled weights can run code and are not read: convert them "
        "with transformers' save_pretrained."
    )


_WEIGHT_SUFFIXES = (".bin", ".pt", ".pth", ".h5", ".msgpack", ".ckpt", ".safetensors")


def _by_index(folder: Path, index: Path) -> list[Path]:
    check_file(index, folder, megabytes=64)
    content = read_json(index, megabytes=64)
    places = content.get("weight_map")
    strings = isinstance(places, dict) and all(isinstance(one, str) for one in places.values())
    if not strings or not places or not isinstance(content.get("metadata"), dict):
        raise ModelError(
            f"{index} is damaged: expected an object metadata, and weight_map, the file of every "
            "weight by its name. Fetch it again."
        )
    return [_inside(folder, one, index.name) for one in sorted(set(places.values()))]


def _inside(folder: Path, file: str, told_by: str) -> Path:
    """Return a weights file that another file names."""
    if not file.endswith((".safetensors", ".safetensors.index.json")):
        raise ModelError(
            f"{told_by} in {folder} names {file!r} as a file of weights; expected files that end "
            "in .safetensors. Others are pickles, which can run code, and are not read."
        )
    path = folder / file
    if ".." in Path(file).parts or Path(file).is_absolute():
        raise ModelError(
            f"{told_by} in {folder} names {file!r} as a file of weights, which leads out of the "
            "folder: only files within it are read."
        )
    if not path.exists() and not path.is_symlink():
        raise ModelError(
            f"{told_by} in {folder} names {file!r}, and there is no such file. Fetch it again."
        )
    check_file(path, folder)
    return path


def read_headers(files: list[Path]) -> dict[str, TensorHeader]:
    """Read the headers of weights; no weight itself is read."""
    found: dict[str, TensorHeader] = {}
    for file in files:
        its = _read_header(file)
        twice = sorted(found.keys() & its.keys())
        if twice:
            raise ModelError(f"{file} holds {twice[0]}, and so does another file: which one holds?")
        found |= its
    return found


def _read_header(file: Path) -> dict[str, TensorHeader]:
    from safetensors import safe_open

    with library_errors(f"{file} is damaged", "Fetch it again."):
        with file.open("rb") as opened:
            length = int.from_bytes(opened.read(8), "little")
        if length > _LONGEST_HEADER:
            raise ModelError(
                f"{file} is damaged: its header is {length:,} bytes long; expected at most "
                f"{_LONGEST_HEADER:,}. Fetch it again."
            )
        # safetensors holds the header against the file: offsets, sizes, gaps and overlaps.
        with safe_open(file, framework="pt") as weights:
            metadata = weights.metadata() or {}
            slices = ((name, weights.get_slice(name)) for name in weights.keys())  # noqa: SIM118
            found = {
                name: TensorHeader(tuple(one.get_shape()), str(one.get_dtype()))
                for name, one in slices
            }
    if metadata.get("format") == "tf":
        raise ModelError(
            f"{file} was saved by TensorFlow (its metadata says format: tf); PyTorch would "
            "read it as random weights. Give a checkpoint saved by PyTorch."
        )
    return found


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
    """Load a model of transformers' own without its weights."""
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
    """Stop the making of a model that is far larger than its weights."""
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
