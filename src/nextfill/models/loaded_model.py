"""A model with its tokenizer: its sizes, its notes, and checksums of the files it was read from.

By the checksums no run goes on from another model than it began with, or is compared with another.
Of a model in a folder they are those of its files, by which a changed one can be named; of random
weights and live models those of the weights in memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import xxhash
from torch import Tensor, nn

from nextfill.config import DEFAULT_BLOCK_SIZE, ModelConfig, Objective
from nextfill.config.prefixes import LIVE
from nextfill.core.amounts import amount, verb
from nextfill.core.checksums import file_checksum, file_problem
from nextfill.core.errors import ConfigError, ModelError
from nextfill.data.store.tokenizer_backend import fingerprint_of
from nextfill.models.adapters.quantization import Quantization, num_weights
from nextfill.models.architecture import embedding_rows, first_position, max_positions
from nextfill.models.tokenizer import sample_ids

BASE = "base"
ADAPTER = "adapter"
WEIGHTS = "weights"
FROZEN = "frozen"
TOKENIZER = "tokenizer"
_SUFFIXES = (".json", ".safetensors", ".txt", ".model", ".jinja")


@dataclass(frozen=True)
class LoadedModel:
    """A model with its tokenizer, and the notes of its loading.

    Args:
        model: A transformers model in float32; with an adapter, its layers are in place.
        name: Its name, as the user wrote it.
        revision: The commit on the Hub it was read at, else None.
        unexpected: Names of weights in the checkpoint that the model has no place for.
        changes: Settings of its configuration, ``key=value``, that were changed so that a causal
            model looks back only.
        adapter: The PEFT model around ``model`` where only an adapter is trained, else None.
        folders: Its own folder; of an adapter also that of its base; none of a model in memory.
        quantization: The layers that are held in 4 bits below an adapter, else None.
    """

    model: nn.Module
    tokenizer: Any
    name: str
    objective: Objective = "causal"
    revision: str | None = None
    unexpected: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    adapter: Any = None
    folders: tuple[Path, ...] = ()
    quantization: Quantization | None = None

    @property
    def change_note(self) -> str | None:
        """A sentence on the settings changed in the model's configuration, if any were."""
        if not self.changes:
            return None
        return (
            f"{self.name} looked ahead at the tokens it is to predict; it is used with "
            f"{' and '.join(self.changes)} in its configuration, with which it does not"
        )

    @property
    def notes(self) -> list[str]:
        """Sentences on the loading, for every command to show."""
        notes = [self.change_note, self._position_note]
        return [*filter(None, notes), *left_over(self.unexpected)]

    @property
    def _position_note(self) -> str | None:
        """A sentence on positions that transformers would count in another way, if it would."""
        first = first_position(self.model)
        if not first or self.tokenizer.bos_token_id != first - 1:
            return None
        return (
            f"{self.name} counts a text's positions from its pad token, which begins each text "
            f"here: they are given to it; in a program of your own, give it position_ids from "
            f"{first} on"
        )

    @property
    def num_parameters(self) -> int:
        """Number of parameters of the model and its adapter, shared ones counted once."""
        return sum(map(num_weights, self.model.parameters()))

    @property
    def num_trained(self) -> int:
        """Number of parameters that training changes."""
        return sum(p.numel() for p in self.model.parameters() if p.requires_grad)

    @property
    def device(self) -> torch.device:
        """The device that the model is on."""
        return next(self.model.parameters()).device

    @property
    def pad_id(self) -> int:
        """The id that fills short rows; never a target, so any id will do without a pad token."""
        pad = self.tokenizer.pad_token_id
        return 0 if pad is None else int(pad)

    @property
    def max_positions(self) -> int | None:
        """The longest input the model's positions allow, or None where nothing bounds it."""
        return max_positions(self.model)


def left_over(unexpected: tuple[str, ...]) -> list[str]:
    """Return a sentence on the weights that a model has no place for, in a list, or none."""
    if not unexpected:
        return []
    return [
        f"{amount(len(unexpected), 'weight')} of the checkpoint "
        f"{verb(len(unexpected), 'has', 'have')} no "
        f"place in the model and {verb(len(unexpected), 'is', 'are')} left out: "
        f"{', '.join(unexpected[:3])}"
    ]


def origin(config: ModelConfig, loaded: LoadedModel) -> str | None:
    """Return the name by which the model without its adapter can be loaded again, if any."""
    if not config.name.startswith(LIVE):
        return config.name
    path = str(getattr(loaded.model.config, "name_or_path", ""))
    return str(Path(path).absolute()) if Path(path).is_dir() and path else path or None


def check_vocabulary(loaded: LoadedModel) -> None:
    """Refuse a tokenizer that makes ids the model's embedding has no row for."""
    rows = embedding_rows(loaded.model)
    sample = sample_ids(loaded.tokenizer, loaded.name)  # a template has ids of its own
    highest = max([*loaded.tokenizer.get_vocab().values(), *sample])
    if highest >= rows:
        raise ModelError(
            f"The tokenizer makes ids up to {highest}, but the embedding of {loaded.name} has "
            f"{rows} rows: give the model's own tokenizer with --tokenizer, or a model with at "
            f"least {highest + 1} rows."
        )


def fitting_block_size(block_size: int | None, loaded: LoadedModel) -> int:
    """Return a block size no longer than the model's positions; None asks for the default."""
    limit = loaded.max_positions
    if block_size is None:
        return min(DEFAULT_BLOCK_SIZE, limit or DEFAULT_BLOCK_SIZE)
    if limit is not None and block_size > limit:
        raise ConfigError(
            [
                f"--block-size {block_size} is above the {limit} positions of {loaded.name}: "
                f"give --block-size {limit} or less."
            ]
        )
    return block_size


def tensor_checksum(tensors: Mapping[str, Tensor]) -> str:
    """Return one checksum of names, types, shapes and numbers, in hexadecimal.

    Example:
        >>> one, other = torch.zeros(2), torch.zeros(2)
        >>> tensor_checksum({"a": one}) == tensor_checksum({"a": other})
        True
    """
    digest = xxhash.xxh3_128()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def frozen_checksum(model: nn.Module) -> str:
    """Return one checksum of the weights that training does not change, in hexadecimal."""
    frozen = {name: one for name, one in model.named_parameters() if not one.requires_grad}
    return tensor_checksum(frozen)


def origin_checksums(loaded: LoadedModel) -> dict[str, Any]:
    """Return the checksums of a model before training, as a run's record has them.

    Returns:
        ``tokenizer``; and of a model in a folder ``base/FILE`` for each of its files, and
        ``adapter/FILE`` for an adapter's, else ``weights``.
    """
    checksums: dict[str, Any] = {TOKENIZER: fingerprint_of(loaded.tokenizer)}
    if not loaded.folders:
        return {**checksums, WEIGHTS: tensor_checksum(loaded.model.state_dict())}
    for kind, folder in _by_kind(loaded.folders).items():
        for path in sorted(folder.iterdir()):
            if path.is_file() and path.suffix in _SUFFIXES:
                checksums[f"{kind}/{path.name}"] = file_checksum(path)
    return checksums


def origin_problem(folders: Sequence[Path], recorded: Mapping[str, Any]) -> str | None:
    """Return the problem of a model's file that differs from a run's record of it, None if none.

    Files that the record does not name, or of kinds that it does not, are no problem.
    """
    for kind, folder in _by_kind(folders).items():
        for name, expected in sorted(recorded.items()):
            if name.startswith(f"{kind}/"):
                path = folder / name.removeprefix(f"{kind}/")
                if problem := file_problem(path, expected):
                    return f"{path} {problem}"
    return None


def _by_kind(folders: Sequence[Path]) -> dict[str, Path]:
    *adapters, base = folders
    kinds = (ADAPTER if at == 1 else f"{ADAPTER}-{at}" for at in range(1, len(folders)))
    return {**dict(zip(kinds, adapters, strict=True)), BASE: base}
