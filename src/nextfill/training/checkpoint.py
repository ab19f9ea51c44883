"""Checkpoints: weights, optimizer state and cursor, in safetensors, whole or not at all.

No state of a random generator is needed: dropout is reseeded from (seed, step, micro-batch), and
the order of the blocks is a function of (seed, epoch).
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from nextfill.core.atomic_write import (
    make_beside,
    recover_folder,
    remove_folder,
    replace_folder,
    sync,
    write_folder,
)
from nextfill.core.checksums import (
    RECORD,
    RUN_RECORD,
    STAGE,
    Record,
    file_checksum,
    folder_checksums,
    prefix_problem,
    read_record,
    record_problems,
    stage_files,
    write_record,
)
from nextfill.core.errors import RunError
from nextfill.runs.directory import RunDirectory
from nextfill.runs.stages import stage_start
from nextfill.training.checkpoint_shares import (
    INDEX,
    files_of_shares,
    stored_moments,
    stored_weights,
    take_marks,
)
from nextfill.training.weight_average import WeightAverage

BEST = "best.safetensors"
WEIGHTS, OPTIMIZER, CURSOR = "model.safetensors", "optimizer.safetensors", "cursor.json"
AVERAGE = "average.safetensors"


@dataclass(frozen=True)
class Cursor:
    """The place of a run between two steps.

    Args:
        step: Optimizer steps taken.
        blocks: Blocks consumed, over all epochs.
        events: Size in bytes and checksum of ``events.jsonl`` at that moment.
    """

    step: int
    blocks: int
    events: Mapping[str, Any] = field(default_factory=dict)


def save_checkpoint(
    run: RunDirectory,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    cursor: Cursor,
    average: WeightAverage | None = None,
) -> Path:
    """Write a checkpoint with the run's settings and record."""
    final = _place(run, cursor)
    with write_folder(final, owned=True) as beside:
        save_file(model_state(model), beside / WEIGHTS)
        save_file(optimizer_state(model, optimizer), beside / OPTIMIZER)
        if average is not None and (state := average.state()):
            save_file(state, beside / AVERAGE)
        _write_about(run, beside, cursor)
        write_record(beside, Record(files=folder_checksums(beside)))
    return final


def begin_shares(run: RunDirectory, cursor: Cursor) -> Path:
    """Make a hidden folder for the shares of a checkpoint, with the run's settings and record."""
    folder = make_beside(_place(run, cursor))
    _write_about(run, folder, cursor)
    return folder


def publish_shares(run: RunDirectory, folder: Path, cursor: Cursor, world: int) -> None:
    """Make a checkpoint of a folder in which the ranks have written all shares."""
    shares = take_marks(folder, world)
    others = [path.name for path in folder.iterdir() if path.name not in shares]
    for name in others:
        sync(folder / name)
    files = {name: file_checksum(folder / name) for name in others}
    write_record(folder, Record(files={**files, **shares}))
    recover_folder(_place(run, cursor))
    replace_folder(folder, _place(run, cursor))


def _place(run: RunDirectory, cursor: Cursor) -> Path:
    return run.checkpoints / f"step-{cursor.step:08d}"


def _write_about(run: RunDirectory, folder: Path, cursor: Cursor) -> None:
    """Write the place of a run, and copies of its settings and record."""
    (folder / CURSOR).write_text(json.dumps(asdict(cursor)), encoding="utf-8")
    earlier = [(path, f"{STAGE}{path.name}") for path in stage_files(run.path)]
    own = [(run.config, run.config.name), (run.path / RECORD, RUN_RECORD)]
    for path, name in (*own, *earlier):
        if path.is_file():
            shutil.copyfile(path, folder / name)


def remove_older(folder: Path, count: int, branching: int | None = None) -> None:
    """Remove the checkpoints but the newest, and the newest up to a step that a run branches at."""
    folders = _folders(folder)
    before = [path for path in folders if branching is not None and _step_of(path) <= branching]
    for old in folders[:-count]:
        if old not in before[-1:]:
            remove_folder(old)


def remove_after(run: RunDirectory, step: int) -> None:
    """Remove the checkpoints after a step from which a run goes on otherwise."""
    for folder in _folders(run.checkpoints):
        if _step_of(folder) > step:
            remove_folder(folder)


def whole_checkpoints(run: RunDirectory) -> list[int]:
    """Return the steps of the undamaged checkpoints of a run."""
    return [_step_of(one) for one in _folders(run.checkpoints) if not checkpoint_problem(run, one)]


def load_checkpoint(
    run: RunDirectory,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    note: Callable[[str], None],
    *,
    latest: int | None = None,
    average: WeightAverage | None = None,
    leaves_shares: bool = False,
) -> Cursor | None:
    """Load the newest undamaged checkpoint, up to a latest step, into model, optimizer and average.

    The moments of one in shares are left unread with ``leaves_shares`` (`folder_of_shares`).
    Damaged checkpoints are noted and removed. A run without checkpoints gets None; one whose
    checkpoints are all damaged, a `RunError`.
    """
    folders = _folders(run.checkpoints)
    damaged: dict[Path, str] = {}
    for folder in reversed(folders):
        problem = checkpoint_problem(run, folder)
        if problem is None and latest is not None and _step_of(folder) > latest:
            problem = f"the weights of the best step, {latest}, are damaged in {BEST}"
        if problem is None:
            break
        damaged[folder] = problem
    else:
        if not folders:
            return None
        problems = "; ".join(f"{folder.name}: {why}" for folder, why in sorted(damaged.items()))
        raise RunError(
            f"No checkpoint of {run.path} is whole ({problems}). Delete {run.checkpoints} to take "
            "the run's steps again from the first, with the same result."
        )
    _load_state(folder, model, optimizer, leaves_shares=leaves_shares)
    if average is not None and (folder / AVERAGE).is_file():
        average.load(load_file(folder / AVERAGE))
    for other, problem in damaged.items():
        note(f"{other} is damaged ({problem}): going on from step {_step_of(folder)} instead")
    for other in folders[: folders.index(folder)]:
        if problem := checkpoint_problem(run, other):
            note(f"{other} is damaged ({problem}), and is removed: there is a newer one")
            damaged[other] = problem
    for other in damaged:
        remove_folder(other)
    return _read_cursor(folder)


def _load_state(
    folder: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    *,
    leaves_shares: bool,
) -> None:
    """Load weights and moments, of shares one tensor after the other, or the weights alone."""
    if not (folder / INDEX).is_file():
        fill_model(model, load_file(folder / WEIGHTS), folder)
        load_optimizer_state(model, optimizer, load_file(folder / OPTIMIZER))
        return
    fill_model(model, stored_weights(folder), folder)
    if not leaves_shares:
        load_optimizer_state(model, optimizer, stored_moments(folder))


def folder_of_shares(run: RunDirectory, cursor: Cursor) -> Path | None:
    """Return the folder of a checkpoint whose moments lie in shares, None where they do not."""
    folder = _place(run, cursor)
    return folder if (folder / INDEX).is_file() else None


def checkpoint_problem(run: RunDirectory, folder: Path) -> str | None:
    """Describe why a run cannot go on from a checkpoint, None if it can."""
    try:
        record = read_record(folder)
        if record is None:
            return f"it has no {RECORD}"
        needed = files_of_shares(record.files) or {WEIGHTS, OPTIMIZER}
        if not {CURSOR, *needed} <= record.files.keys():
            return "its files are not all on record"
        problems = record_problems(folder, record)
        return problems[0] if problems else _disagreement(run, folder, record)
    except (RunError, OSError, ValueError, TypeError) as error:
        return str(error)


def _disagreement(run: RunDirectory, folder: Path, record: Record) -> str | None:
    """Describe how an undamaged checkpoint disagrees with its name or run, None if it agrees."""
    cursor = _read_cursor(folder)
    if cursor.step != _step_of(folder):
        return f"it is of step {cursor.step}"
    written = record.files.get(run.config.name)
    if run.config.is_file() and written != file_checksum(run.config):
        if written not in [file_checksum(path) for path in stage_files(run.path)]:
            return f"it is of a run with another {run.config.name}"
        if cursor.step > (start := stage_start(run)):
            return f"it is of an earlier stage, which the run left at step {start}"
    problem = prefix_problem(run.events, cursor.events)
    return f"{run.events.name} {problem}" if problem else None


def _read_cursor(folder: Path) -> Cursor:
    return Cursor(**json.loads((folder / CURSOR).read_bytes()))


def _step_of(folder: Path) -> int:
    return int(folder.name.removeprefix("step-"))


def newest_step(folder: Path) -> int:
    """Return the step of the newest checkpoint, 0 if there is none."""
    folders = _folders(folder)
    return _step_of(folders[-1]) if folders else 0


def _folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    for aside in folder.glob(".step-*.old"):  # a kill came while it was replaced
        recover_folder(folder / aside.name[1:].removesuffix(".old"))
    return sorted(path for path in folder.glob("step-*") if path.name[5:].isdecimal())


def _trained(model: nn.Module) -> dict[str, nn.Parameter]:
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def load_optimizer_state(
    model: nn.Module, optimizer: torch.optim.Optimizer, state: Mapping[str, Tensor]
) -> None:
    """Give an optimizer its state, by the names of its parameters and entries."""
    parameters = _trained(model)
    for key, value in state.items():
        name, _, entry = key.rpartition("/")
        parameter = parameters[name]
        # A count of steps stays on the host, where only a fused optimizer does not look for it.
        moves = entry != "step" or optimizer.defaults.get("fused")
        optimizer.state[parameter][entry] = value.to(parameter.device) if moves else value


def model_state(model: nn.Module) -> dict[str, Tensor]:
    """Return the trained parameters and the buffers that are no caches, by name."""
    persistent = model.state_dict().keys()  # leaves out buffers that are only caches
    state = {n: parameter.detach() for n, parameter in _trained(model).items()}
    state |= {name: buffer for name, buffer in model.named_buffers() if name in persistent}
    return state


def optimizer_state(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return the state of an optimizer, by the names of its parameters and entries."""
    return {
        f"{name}/{key}": value
        for name, parameter in _trained(model).items()
        for key, value in optimizer.state.get(parameter, {}).items()
        if isinstance(value, Tensor)
    }


def fill_model(model: nn.Module, weights: Mapping[str, Tensor], path: Path) -> None:
    """Give a model the weights of a file; refuse those of another model."""
    current = model_state(model)
    if weights.keys() != current.keys():
        raise RunError(f"The checkpoint {path} is of another model than this run's config.toml.")
    with torch.no_grad():
        for name, tensor in current.items():
            tensor.copy_(weights[name])
