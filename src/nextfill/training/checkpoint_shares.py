"""Checkpoints whose weights and moments lie in several files, one for each rank that held them.

A file has the rows that its rank held of each tensor; put after one another in the order of the
ranks they are the whole. What is not divided lies in the first. The index has the whole shapes. So
any number of ranks reads them, and a plain process.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from nextfill.core.atomic_write import write_file
from nextfill.core.checksums import file_checksum
from nextfill.core.errors import RunError

INDEX = "shares.json"
MODEL, OPTIMIZER = "model/", "optimizer/"
"""Before the name of a weight or buffer, and of an optimizer's entry."""

_SHARE = re.compile(r"share-\d{5}-of-(\d{5})\.safetensors")
_MARK = ".written"


def share_name(rank: int, world: int) -> str:
    """Return the name of a rank's file.

    Example:
        >>> share_name(0, 2)
        'share-00001-of-00002.safetensors'
    """
    return f"share-{rank + 1:05d}-of-{world:05d}.safetensors"


def files_of_shares(names: Iterable[str]) -> set[str]:
    """Return the files that a checkpoint has to have of which some are shares, else nothing.

    Example:
        >>> sorted(files_of_shares(["cursor.json", "share-00002-of-00002.safetensors"]))
        ['share-00001-of-00002.safetensors', 'share-00002-of-00002.safetensors', 'shares.json']
    """
    worlds = {int(found[1]) for name in names if (found := _SHARE.fullmatch(name))}
    shares = {share_name(rank, world) for world in worlds for rank in range(world)}
    return {INDEX, *shares} if shares else set()


def write_index(folder: Path, shapes: Mapping[str, Sequence[int]], world: int) -> None:
    """Write the whole shape of each tensor."""
    text = json.dumps({"ranks": world, "shapes": {name: [*one] for name, one in shapes.items()}})
    (folder / INDEX).write_text(text, encoding="utf-8")


def write_share(folder: Path, rank: int, world: int, tensors: Mapping[str, Tensor]) -> None:
    """Write the file of a rank, flush it to the disk, and then its mark with its checksum."""
    path = folder / share_name(rank, world)
    try:
        with write_file(path, owned=True) as beside:
            save_file(dict(tensors), beside)
        checksum = file_checksum(path)
        with write_file(_mark(path), owned=True) as beside:
            beside.write_text(json.dumps(checksum), encoding="utf-8")
    except (OSError, SafetensorError) as error:
        raise RunError(f"{path} cannot be written: {error}. Make room there.") from error


def missing_marks(folder: Path, world: int) -> list[int]:
    """Return the ranks whose files are not written yet."""
    paths = [_mark(folder / share_name(rank, world)) for rank in range(world)]
    return [rank for rank, path in enumerate(paths) if not path.is_file()]


def take_marks(folder: Path, world: int) -> dict[str, Any]:
    """Return the checksum of each rank's file, by its name, and remove the marks."""
    found = {}
    for rank in range(world):
        mark = _mark(folder / share_name(rank, world))
        found[share_name(rank, world)] = json.loads(mark.read_bytes())
        mark.unlink()
    return found


def read_shares(folder: Path) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return the whole weights and buffers, and the entries of the optimizer, by their names."""
    index = json.loads((folder / INDEX).read_bytes())
    world: int = index["ranks"]
    pieces: dict[str, list[Tensor]] = {name: [] for name in index["shapes"]}
    for rank in range(world):
        for name, tensor in load_file(folder / share_name(rank, world)).items():
            pieces[name].append(tensor)
    weights, state = {}, {}
    for name, shape in index["shapes"].items():
        found = pieces.pop(name)  # so that no tensor is there twice for long
        whole = found[0] if len(found) == 1 else torch.cat(found)
        if [*whole.shape] != shape:
            raise RunError(
                f"{folder} has {name} in the shape {[*whole.shape]}, and {INDEX} says {shape}: "
                f"delete {folder} to go on from an earlier checkpoint."
            )
        if name.startswith(MODEL):
            weights[name.removeprefix(MODEL)] = whole
        else:
            state[name.removeprefix(OPTIMIZER)] = whole
    return weights, state


def _mark(path: Path) -> Path:
    return path.with_suffix(_MARK)
