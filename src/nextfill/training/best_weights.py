"""The weights of the best step of a run so far, by its validation, in a file of their own."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from nextfill.core.atomic_write import write_file
from nextfill.core.errors import RunError
from nextfill.models.loaded_model import tensor_checksum
from nextfill.training.checkpoint import BEST, fill_model, model_state


def save_best(folder: Path, model: nn.Module, step: int) -> None:
    """Write the weights of the best step so far, in place of those of an earlier one."""
    folder.mkdir(exist_ok=True)
    state = model_state(model)
    about = json.dumps({"step": step, "checksum": tensor_checksum(state)})
    with write_file(folder / BEST, owned=True) as beside:
        # Under one name, for safetensors writes several in an order of chance.
        save_file(state, beside, metadata={BEST: about})


def load_best(folder: Path, model: nn.Module, step: int) -> None:
    """Load the weights of the best step into a model; refuse damaged or other ones."""
    saved_step, weights = _read_best(folder)
    if saved_step != step:
        raise RunError(
            f"{folder / BEST} holds the weights of step {saved_step}, and step {step} had the best "
            f"validation: delete the checkpoints after step {step} to go on from there."
        )
    fill_model(model, weights, folder / BEST)


def saved_best_step(folder: Path) -> int | None:
    """Return the step of the best weights, None where there are none undamaged."""
    try:
        return _read_best(folder)[0]
    except RunError:
        return None


def best_problem(folder: Path) -> str | None:
    """Describe the damage to the weights of the best step, None if they are whole."""
    try:
        _read_best(folder)
    except RunError as error:
        return str(error)
    return None


def _read_best(folder: Path) -> tuple[int, dict[str, Tensor]]:
    path = folder / BEST
    try:
        with safe_open(path, framework="pt") as opened:
            about = json.loads((opened.metadata() or {})[BEST])
        weights = load_file(path)
        if about["checksum"] != tensor_checksum(weights):
            raise ValueError("their checksum is another")  # noqa: TRY301 - reported like the others
        return int(about["step"]), weights
    except (OSError, SafetensorError, ValueError, TypeError, KeyError) as error:
        raise RunError(f"The weights of the best step, {path}, are damaged: {error}.") from error
