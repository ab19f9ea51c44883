"""Files of a model's folder: regular ones of bounded size, and the headers of its weights.

Weights are found as transformers finds them, and only files that end in ``.safetensors`` within the
folder are taken: an index, or a configuration, may name any file, and others are pickles, which run
code when they are read.
"""

from __future__ import annotations

import math
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nextfill.core.errors import ModelError
from nextfill.models.folder.configuration import MEGABYTE, read_json
from nextfill.models.libraries import library_errors

WEIGHTS = "*.safetensors"
_MEGABYTES: dict[str, int | None] = {
    "*config.json": 16,
    "config.*.json": 16,
    "chat_template*": 16,
    "additional_chat_templates/*": 16,
    "special_tokens_map.json": 16,
    "added_tokens.json": 64,
    "tokenizer*.json": 128,
    "tekken.json": 128,
    "vocab.json": 128,
    "vocab.*": 16,
    "merges.txt": 64,
    "*.model": 64,
    "*.tiktoken": 64,
    "*.index.json": 64,
    WEIGHTS: None,
}
"""The files of a model's folder that anything reads, and how many megabytes they may hold."""

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
_WEIGHT_SUFFIXES = (".bin", ".pt", ".pth", ".h5", ".msgpack", ".ckpt", ".safetensors")
_LONGEST_HEADER = 32 * MEGABYTE
_DISTRIBUTED = "shard-[0-9][0-9][0-9][0-9][0-9]-model-*.safetensors"
"""Files that transformers takes for a checkpoint of torch.distributed, before any other."""


def regular_files(folder: Path, *, with_weights: bool) -> list[Path]:
    """Return the files of a folder that anything reads, refusing any that is no regular file."""
    files: dict[Path, int | None] = {}
    for pattern, megabytes in _MEGABYTES.items():
        if pattern != WEIGHTS or with_weights:
            for path in folder.glob(pattern):
                files.setdefault(path, megabytes)
    for path, megabytes in files.items():
        check_file(path, folder, megabytes=megabytes)
    return sorted(files)


def check_file(path: Path, folder: Path, *, megabytes: int | None = None) -> None:
    """Refuse a file that is no regular one, is too large, or is outside of a model's folder."""
    try:
        target = path.resolve(strict=True)
        status = target.stat()
    except (OSError, RuntimeError, ValueError) as error:  # RuntimeError of links in a circle
        if path.is_symlink():
            raise ModelError(
                f"{path} is a link that leads nowhere: put the file itself there."
            ) from error
        raise ModelError(f"{path} cannot be read: {error}.") from error
    if not any(target.is_relative_to(root) for root in _roots(folder)):
        raise ModelError(
            f"{path} leads out of the model's folder, to {target}. Only files within the folder "
            "are read: put the file itself there."
        )
    if stat.S_ISDIR(status.st_mode):
        return  # which whatever looks for a file there does not find
    if not stat.S_ISREG(status.st_mode):
        raise ModelError(f"{path} is {_kind(status.st_mode)}, not a regular file: remove it.")
    if megabytes is not None and status.st_size > megabytes * MEGABYTE:
        raise ModelError(
            f"{path} holds {status.st_size:,} bytes; expected {megabytes} MB at most. Fetch it "
            "again."
        )


def _roots(folder: Path) -> Iterator[Path]:
    """Yield the folders that a model's files may be in; those of the Hub's cache are blobs."""
    real = folder.resolve()
    yield real
    if real.parent.name == "snapshots":
        yield real.parent.parent / "blobs"


def _kind(mode: int) -> str:
    if stat.S_ISFIFO(mode):
        return "a pipe (FIFO)"
    return "a socket" if stat.S_ISSOCK(mode) else "a device"


@dataclass(frozen=True)
class TensorHeader:
    """Shape and type of a tensor, by the header of its file.

    Args:
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
    """Return the files of a model's weights, which its config.json may name."""
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
    others = sorted(p.name for p in folder.glob("*") if p.suffix in _WEIGHT_SUFFIXES)
    found = f"found {', '.join(others[:5])}" if others else "found no weights at all"
    raise ModelError(
        f"{name} has no .safetensors weights ({found} in {folder}; expected {SINGLE}, or {INDEX} "
        "and the files that it names). Pickled weights can run code and are not read: convert them "
        "with transformers' save_pretrained."
    )


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


def _inside(folder: Path, file: str, source: str) -> Path:
    """Return a file of weights that a source names, refusing one outside of the folder."""
    if not file.endswith((".safetensors", ".safetensors.index.json")):
        raise ModelError(
            f"{source} in {folder} names {file!r} as a file of weights; expected files that end "
            "in .safetensors. Others are pickles, which can run code, and are not read."
        )
    path = folder / file
    if ".." in Path(file).parts or Path(file).is_absolute():
        raise ModelError(
            f"{source} in {folder} names {file!r} as a file of weights, which leads out of the "
            "folder: only files within it are read."
        )
    if not path.exists() and not path.is_symlink():
        raise ModelError(
            f"{source} in {folder} names {file!r}, and there is no such file. Fetch it again."
        )
    check_file(path, folder)
    return path


def read_headers(files: list[Path]) -> dict[str, TensorHeader]:
    """Read the headers of files of weights, each tensor's by its name, and no weight itself."""
    headers: dict[str, TensorHeader] = {}
    for file in files:
        more = _read_header(file)
        if twice := sorted(headers.keys() & more.keys()):
            raise ModelError(f"{file} holds {twice[0]}, and so does another file: which one holds?")
        headers |= more
    return headers


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
            headers = {
                name: TensorHeader(tuple(one.get_shape()), str(one.get_dtype()))
                for name, one in slices
            }
    if metadata.get("format") == "tf":
        raise ModelError(
            f"{file} was saved by TensorFlow (its metadata says format: tf); PyTorch would "
            "read it as random weights. Give a checkpoint saved by PyTorch."
        )
    return headers
