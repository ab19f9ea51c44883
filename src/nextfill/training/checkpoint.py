"""Checkpoints: weights, optimizer state and cursor, in safetensors, whole or not at all.

No state of a random generator is needed: dropout is reseeded from (seed, step, micro-batch), and
the order of the blocks is a function of (seed, epoch).
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from nextfill.atomic_write import recover_folder, remove_folder, write_file, write_folder
from nextfill.errors import RunError

BEST = "best.safetensors"
KEPT = 2
"""Checkpoints kept, so that one damaged by a failing disk leaves another."""


@dataclass(frozen=True)
class Cursor:
    """Where a run stands.

    Args:
        step: Optimizer steps taken.
        blocks: Blocks consumed, over all epochs.
        events_size: Size of ``events.jsonl`` in bytes at that moment.
    """

    step: int
    blocks: int
    events_size: int


def save_checkpoint(
    folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer, cursor: Cursor
) -> Path:
    """Write a checkpoint beside the others, then drop the oldest.

    Args:
        folder: The run's ``checkpoints/``.
        model: What training changes of it is saved: trainable parameters, tied ones once, and
            persistent buffers.
        optimizer: Its state per parameter is saved under the parameter's name.
        cursor: Where the run stands.

    Returns:
        The checkpoint's folder.
    """
    final = folder / f"step-{cursor.step:08d}"
    with write_folder(final, owned=True) as beside:
        save_file(_model_state(model), beside / "model.safetensors")
        save_file(_optimizer_state(model, optimizer), beside / "optimizer.safetensors")
        (beside / "cursor.json").write_text(json.dumps(asdict(cursor)), encoding="utf-8")
    for old in _folders(folder)[:-KEPT]:
        remove_folder(old)
    return final


def load_checkpoint(
    folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer
) -> Cursor | None:
    """Load the newest checkpoint into a model and its optimizer.

    Args:
        folder: The run's ``checkpoints/``.
        model: Of the same shape as the one saved.
        optimizer: Over the same parameters.

    Returns:
        Where the run stands, or None if it has no checkpoint yet.

    Raises:
        RunError: If the checkpoint is damaged or is of another model.
    """
    folders = _folders(folder)
    if not folders:
        return None
    newest = folders[-1]
    try:
        weights = load_file(newest / "model.safetensors")
        state = load_file(newest / "optimizer.safetensors")
        cursor = Cursor(**json.loads((newest / "cursor.json").read_text(encoding="utf-8")))
    except (OSError, SafetensorError, ValueError, TypeError) as error:
        raise RunError(
            f"The checkpoint {newest} is damaged ({error}). Delete it to go on from the one before."
        ) from error
    _fill(model, weights, newest)
    parameters = _trained(model)
    for key, value in state.items():
        name, _, entry = key.rpartition("/")
        parameter = parameters[name]
        optimizer.state[parameter][entry] = value.to(parameter.device)
    return cursor


def save_best(folder: Path, model: nn.Module, step: int) -> None:
    """Keep the weights of the best step so far, in place of those of the one before.

    Args:
        folder: The run's ``checkpoints/``.
        model: What training changes of it is saved.
        step: The step, recorded with the weights.
    """
    folder.mkdir(exist_ok=True)
    with write_file(folder / BEST, owned=True) as beside:
        save_file(_model_state(model), beside, metadata={"step": str(step)})


def load_best(folder: Path, model: nn.Module, step: int) -> None:
    """Load the weights of the best step into a model.

    Raises:
        RunError: If they are not there, or are those of another step.
    """
    path = folder / BEST
    try:
        with safe_open(path, framework="pt") as opened:
            found = (opened.metadata() or {}).get("step")
        weights = load_file(path) if found == str(step) else {}
    except (OSError, SafetensorError) as error:
        raise RunError(f"The weights of the best step, {path}, are damaged: {error}") from error
    if not weights:
        raise RunError(
            f"{path} holds the weights of step {found}, and step {step} had the best validation: "
            f"delete the checkpoints after step {step} to go on from there."
        )
    _fill(model, weights, path)


def newest_step(folder: Path) -> int:
    """Return the step of the newest checkpoint, 0 if there is none."""
    folders = _folders(folder)
    return int(folders[-1].name.removeprefix("step-")) if folders else 0


def _folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    for aside in folder.glob(".step-*.old"):  # a kill came while it was replaced
        recover_folder(folder / aside.name[1:].removesuffix(".old"))
    return sorted(folder.glob("step-*"))


def _trained(model: nn.Module) -> dict[str, nn.Parameter]:
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def _model_state(model: nn.Module) -> dict[str, Tensor]:
    persistent = model.state_dict().keys()  # leaves out buffers that are only caches
    state = {n: parameter.detach() for n, parameter in _trained(model).items()}
    state |= {name: buffer for name, buffer in model.named_buffers() if name in persistent}
    return state


def _optimizer_state(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    return {
        f"{name}/{key}": value
        for name, parameter in _trained(model).items()
        for key, value in optimizer.state.get(parameter, {}).items()
        if isinstance(value, Tensor)
    }


def _fill(model: nn.Module, weights: dict[str, Tensor], path: Path) -> None:
    current = _model_state(model)
    if weights.keys() != current.keys():
        raise RunError(f"The checkpoint {path} is of another model than this run's config.toml.")
    with torch.no_grad():
        for name, tensor in current.items():
            tensor.copy_(weights[name])
