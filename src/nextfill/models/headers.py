"""What a model's weights are, by the headers of their files alone: names, shapes and types.

The files are found as transformers finds them, and only those that end in ``.safetensors`` and lie
in the folder are taken: an index, or a configuration, may name any file, and others are pickles,
which run code when they are read.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nextfill.errors import ModelError
from nextfill.models.json_file import MEGABYTE, read_json
from nextfill.models.library_errors import library_errors
from nextfill.models.regular_files import check_file

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
    """Return the files that a model's weights are read from.

    Args:
        folder: The model's folder.
        config: Its configuration, as ``config.json`` has it.
        name: As the user wrote it, for messages.

    Raises:
        ModelError: If there are none, or one is not safetensors, or not within the folder.
    """
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
    """Read the headers of weights; no weight itself is read.

    Args:
        files: Regular files of safetensors.

    Returns:
        Every tensor by its name.

    Raises:
        ModelError: If one is damaged, names a tensor that another has, too, or is TensorFlow's.
    """
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
