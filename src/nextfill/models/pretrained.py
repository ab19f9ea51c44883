"""Read a trained model from a folder; never a random layer where weights were meant.

Only safetensors are read. Weights come in float32, whatever the checkpoint's type, because these
are the master weights that training updates.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from nextfill.config import Objective
from nextfill.errors import ModelError
from nextfill.models.causality import model_for
from nextfill.models.objective import auto_class, choose_objective
from nextfill.models.shape import set_dropout


@dataclass(frozen=True)
class ReadModel:
    """A model that was read from a folder.

    Args:
        model: In float32.
        objective: What it is for.
        unexpected: Names of weights in the checkpoint that it has no place for.
        changes: Settings of its configuration that were changed so that it looks back only.
    """

    model: nn.Module
    objective: Objective
    unexpected: tuple[str, ...]
    changes: tuple[str, ...]


def read_model(
    folder: Path,
    name: str,
    *,
    objective: Objective | None,
    dropout: float | None,
    trust_remote_code: bool,
) -> ReadModel:
    """Read a causal or masked language model.

    Args:
        folder: A Hugging Face directory.
        name: As the user wrote it, for messages.
        objective: What it is to be used for; None for what it was made for.
        dropout: Set wherever the model has dropout; None leaves it as its config says.
        trust_remote_code: Run code that comes with the model.

    Returns:
        The model in float32, and what was found.

    Raises:
        ModelError: If weights are missing, do not fit, or are not safetensors of PyTorch; if a
            causal model looks ahead.
    """
    from transformers import AutoConfig

    check_weight_files(name, folder)
    try:
        shape = AutoConfig.from_pretrained(folder, trust_remote_code=trust_remote_code)
        set_dropout(shape, dropout)
        chosen = choose_objective(shape, objective, name)
        unexpected: set[str] = set()

        def build(changed: Any) -> nn.Module:
            model, info = auto_class(chosen).from_pretrained(
                folder,
                config=changed,
                dtype=torch.float32,
                use_safetensors=True,
                trust_remote_code=trust_remote_code,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # so that they are listed, and refused below
            )
            check_complete(
                name,
                type(model).__name__,
                missing=info["missing_keys"],
                mismatched=[str(item[0]) for item in info["mismatched_keys"]],
            )
            unexpected.update(info["unexpected_keys"])
            return cast(nn.Module, model)

        model, changes = model_for(chosen, shape, build, name)
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"The model {name} cannot be loaded: {error}") from error
    return ReadModel(model, chosen, tuple(sorted(unexpected)), changes)


def check_complete(name: str, kind: str, *, missing: Any, mismatched: Any) -> None:
    """Refuse weights that leave a part of a model random.

    Raises:
        ModelError: If any are missing or of another shape.
    """
    if missing or mismatched:
        raise ModelError(
            f"{name} lacks weights that a {kind} needs, and they would be random: "
            f"{_some(sorted(missing), 'missing')}{_some(sorted(mismatched), 'of another shape')}"
            "Give the checkpoint of a whole language model."
        )


def _some(names: list[str], what: str) -> str:
    if not names:
        return ""
    shown = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
    return f"{len(names)} {what} ({shown}). "


def check_weight_files(name: str, folder: Path) -> None:
    """Refuse a folder whose weights are not whole safetensors of PyTorch.

    Raises:
        ModelError: With what was found.
    """
    from safetensors import SafetensorError, safe_open

    files = sorted(folder.glob("*.safetensors"))
    if not files:
        others = sorted(p.name for p in folder.iterdir() if p.suffix in (".bin", ".pt", ".h5"))
        found = f"found {', '.join(others)}" if others else "found no weights at all"
        raise ModelError(
            f"{name} has no .safetensors weights ({found} in {folder}). Pickled weights can run "
            "code and are not read: convert them with transformers' save_pretrained."
        )
    for file in files:
        try:
            with safe_open(file, framework="pt") as opened:
                metadata = opened.metadata() or {}
        except SafetensorError as error:
            raise ModelError(f"{file} is damaged: {error}.") from error
        if metadata.get("format") == "tf":
            raise ModelError(
                f"{file} was saved by TensorFlow (its metadata says format: tf); PyTorch would "
                "read it as random weights. Give a checkpoint saved by PyTorch."
            )
