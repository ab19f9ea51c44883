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
from nextfill.core.errors import ModelError
from nextfill.models.architecture import embedding_rows, set_dropout
from nextfill.models.causality import model_for
from nextfill.models.configuration import (
    CONFIG,
    GENERATION_CONFIG,
    check_layers,
    check_special_ids,
    read_config,
    read_generation_config,
    read_shape,
)
from nextfill.models.model_folder import library_errors
from nextfill.models.model_objective import auto_class, choose_objective
from nextfill.models.tokenizer import quiet_transformers
from nextfill.models.weight_headers import read_headers, rehearse, weight_files


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
        ModelError: If weights are missing, do not fit, are not safetensors of PyTorch or no
            numbers; if a causal model looks ahead.
    """
    outline = read_outline(
        folder,
        name,
        objective=objective,
        dropout=dropout,
        trust_remote_code=trust_remote_code,
    )
    unexpected = set(outline.unexpected)

    def build(changed: Any) -> nn.Module:
        with library_errors(f"The model {name} cannot be loaded"):
            model, info = auto_class(outline.objective).from_pretrained(
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
        check_numbers(model, name)
        unexpected.update(info["unexpected_keys"])
        return cast(nn.Module, model)

    model, changes = model_for(outline.objective, outline.shape, build, name)
    return ReadModel(model, outline.objective, tuple(sorted(unexpected)), changes)


@dataclass(frozen=True)
class Outline:
    """What is known of a model before its weights are read.

    Args:
        shape: Its configuration.
        objective: What it is for.
        model: Its parameters have sizes and no memory; None where only its own code can make it.
        unexpected: Names of weights in the checkpoint that it has no place for.
    """

    shape: Any
    objective: Objective
    model: nn.Module | None
    unexpected: tuple[str, ...]


def read_outline(
    folder: Path,
    name: str,
    *,
    objective: Objective | None,
    dropout: float | None = None,
    trust_remote_code: bool,
) -> Outline:
    """Read a model's configuration and the headers of its weights, and hold them together."""
    quiet_transformers()
    config = read_config(folder, name)
    headers = read_headers(weight_files(folder, config, name))
    check_layers(config, len(headers), folder)
    shape = read_shape(folder, name, trust_remote_code=trust_remote_code)
    set_dropout(shape, dropout)
    chosen = choose_objective(shape, objective, name)
    own_code = trust_remote_code and "auto_map" in config
    if own_code or config.get("quantization_config") is not None:
        return Outline(shape, chosen, None, ())  # which transformers holds together alone
    rehearsal = rehearse(shape, chosen, headers, name)
    check_complete(
        name,
        type(rehearsal.model).__name__,
        missing=rehearsal.missing,
        mismatched=rehearsal.mismatched,
    )
    rows = embedding_rows(rehearsal.model)
    check_special_ids(config, rows, folder / CONFIG)
    check_special_ids(read_generation_config(folder), rows, folder / GENERATION_CONFIG)
    return Outline(shape, chosen, rehearsal.model, rehearsal.unexpected)


def check_complete(name: str, kind: str, *, missing: Any, mismatched: Any) -> None:
    """Refuse weights that leave a part of a model random."""
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


def check_numbers(model: nn.Module, name: str) -> None:
    """Refuse weights that are no numbers, of which every figure would be none."""
    broken = {
        key: int((~weight.isfinite()).sum())
        for key, weight in model.named_parameters()
        # A sum of many numbers shows one that is none in a fraction of the time.
        if weight.is_floating_point() and not weight.detach().sum().isfinite()
    }
    broken = {key: count for key, count in broken.items() if count}
    if broken:
        first, count = next(iter(broken.items()))
        raise ModelError(
            f"The weights of {name} are damaged: {count:,} of {first} are infinite or no numbers "
            f"(NaN), and so are some of {len(broken) - 1} other tensors: fetch them again, or take "
            "an earlier checkpoint."
        )
