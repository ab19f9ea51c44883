"""Checkpoints whose weights and moments lie in several files, one for each rank that held them.

A file has the rows that its rank held of each tensor; put after one another in the order of the
ranks they are the whole. What is not divided lies in the first. The index has the whole shapes. So
any number of ranks reads them, and a plain process.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from nextfill.core.atomic_write import write_file
from nextfill.core.checksums import file_checksum
from nextfill.core.errors import RunError

INDEX = "shares.json"
MODEL, OPTIMIZER = "model/", "optimizer/"
"""Before the name of a weight or buffer, and of an optimizer's entry."""

_SHARE = re.compile(r"share-\d{5}-of-(\d{5})\.safetensors")
_MARK = ".written"

_MOST_MAPPED_BYTES = 2**26
"""Bytes after which files are opened anew: what was read of them counts as memory until then, and
to open them for each tensor took 9 s of 54 million parameters."""


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


class StoredTensors(Mapping[str, Tensor]):
    """The tensors of a checkpoint in shares, each put together as it is asked for, and not kept.

    Args:
        folder: That of the checkpoint, whose files were found to be whole.
        prefix: Of the names of its tensors, which are asked for by the rest of them.
    """

    def __init__(self, folder: Path, prefix: str) -> None:
        index = json.loads((folder / INDEX).read_bytes())
        self.folder, self._prefix = folder, prefix
        self._files: list[tuple[Any, set[str]]] = []  # and the names in each
        self._given_bytes = 0  # since they were opened
        self._paths = [folder / share_name(rank, index["ranks"]) for rank in range(index["ranks"])]
        self._shapes: dict[str, list[int]] = {
            name.removeprefix(prefix): shape
            for name, shape in index["shapes"].items()
            if name.startswith(prefix)
        }

        self._keys: dict[str, list[str]] = {}
        for name in self._shapes:
            parameter, _, key = name.rpartition("/")
            self._keys.setdefault(parameter, []).append(key)

    def __iter__(self) -> Iterator[str]:
        return iter(self._shapes)

    def __len__(self) -> int:
        return len(self._shapes)

    def __getitem__(self, name: str) -> Tensor:
        parts = self._checked_parts(name)
        return parts[0].clone() if len(parts) == 1 else torch.cat(parts)

    def rows(self, name: str, first: int, count: int) -> Tensor:
        """Return some rows of a tensor, ``[count, ...]``, reading no others."""
        found, start = [], 0
        for part in self._checked_parts(name):
            end = start + len(part)
            found.append(part[max(first, start) - start : max(0, min(first + count, end) - start)])
            start = end
        return torch.cat(found)

    def keys_of(self, parameter: str) -> list[str]:
        """Return the names of a parameter's entries of an optimizer."""
        return self._keys.get(parameter, [])

    def kind(self, name: str) -> tuple[tuple[int, ...], torch.dtype]:
        """Return the shape and type of a tensor, whose numbers are not read for it."""
        return tuple(self._shapes[name]), self._parts(name)[0].dtype

    def _checked_parts(self, name: str) -> list[Tensor]:
        """Return the rows of each file; refuse those that do not make the whole shape."""
        parts, shape = self._parts(name), self._shapes[name]
        found = [*parts[0].shape]
        if found:
            found[0] = sum(len(one) for one in parts)
        if found != shape:
            raise RunError(
                f"{self.folder} has {self._prefix}{name} in the shape {found}, and {INDEX} says "
                f"{shape}: delete {self.folder} to go on from an earlier checkpoint."
            )
        return parts

    def _parts(self, name: str) -> list[Tensor]:
        """Return the rows of each file, which are read when they are looked at."""
        if self._given_bytes >= _MOST_MAPPED_BYTES:
            self._files.clear()
            self._given_bytes = 0
        if not self._files:
            opened: list[Any] = [safe_open(path, "pt") for path in self._paths]
            self._files = [(file, {*file.keys()}) for file in opened]
        stored = f"{self._prefix}{name}"
        parts = [file.get_tensor(stored) for file, names in self._files if stored in names]
        self._given_bytes += sum(one.nbytes for one in parts)
        return parts


def stored_weights(folder: Path) -> StoredTensors:
    """Return the weights and buffers of a checkpoint in shares, by name."""
    return StoredTensors(folder, MODEL)


def stored_moments(folder: Path) -> StoredTensors:
    """Return the entries of the optimizer of a checkpoint in shares, by parameter and name."""
    return StoredTensors(folder, OPTIMIZER)


def _mark(path: Path) -> Path:
    return path.with_suffix(_MARK)
