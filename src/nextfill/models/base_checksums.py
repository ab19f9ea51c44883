"""The model that a run begins with, by checksums: no run goes on from, or is set beside, another.

Of a model in a folder these are the checksums of its files, which tell which one has changed; of
random weights and live models that of the weights in memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import xxhash
from torch import Tensor, nn

from nextfill.core.checksums import file_checksum, file_problem
from nextfill.data.store.encoder import fingerprint_of
from nextfill.models.loaded_model import LoadedModel

BASE = "base"
ADAPTER = "adapter"
WEIGHTS = "weights"
FROZEN = "frozen"
TOKENIZER = "tokenizer"
_SUFFIXES = (".json", ".safetensors", ".txt", ".model", ".jinja")


def tensor_checksum(tensors: Mapping[str, Tensor]) -> str:
    """Return one checksum of names, types, shapes and numbers, in hexadecimal.

    Example:
        >>> one, other = torch.zeros(2), torch.zeros(2)
        >>> tensor_checksum({"a": one}) == tensor_checksum({"a": other})
        True
    """
    found = xxhash.xxh3_128()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        found.update(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        found.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def frozen_checksum(model: nn.Module) -> str:
    """Return one checksum of the weights that training leaves as they are, in hexadecimal."""
    frozen = {name: one for name, one in model.named_parameters() if not one.requires_grad}
    return tensor_checksum(frozen)


def origin_checksums(loaded: LoadedModel) -> dict[str, Any]:
    """Return what tells a model from another, as a run's record has it."""
    found: dict[str, Any] = {TOKENIZER: fingerprint_of(loaded.tokenizer)}
    if not loaded.folders:
        return {**found, WEIGHTS: tensor_checksum(loaded.model.state_dict())}
    for kind, folder in _by_kind(loaded.folders).items():
        for path in sorted(folder.iterdir()):
            if path.is_file() and path.suffix in _SUFFIXES:
                found[f"{kind}/{path.name}"] = file_checksum(path)
    return found


def origin_problem(folders: Sequence[Path], recorded: Mapping[str, Any]) -> str | None:
    """Say which file of a model is not the one that a run began with, None if all are."""
    for kind, folder in _by_kind(folders).items():
        for name, expected in sorted(recorded.items()):
            if name.startswith(f"{kind}/"):
                path = folder / name.removeprefix(f"{kind}/")
                if problem := file_problem(path, expected):
                    return f"{path} {problem}"
    return None


def _by_kind(folders: Sequence[Path]) -> dict[str, Path]:
    *adapters, base = folders
    named = {
        ADAPTER if number == 1 else f"{ADAPTER}-{number}": folder
        for number, folder in enumerate(adapters, start=1)
    }
    return {**named, BASE: base}
