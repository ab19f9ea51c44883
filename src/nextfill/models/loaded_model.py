"""A model with its tokenizer, however it was come by."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from nextfill.config import Objective
from nextfill.models.architecture import max_positions


@dataclass(frozen=True)
class LoadedModel:
    """A model with its tokenizer, and what was noticed on loading.

    Args:
        model: A transformers model in float32; with an adapter, its layers are in place.
        tokenizer: Its tokenizer.
        name: As the user wrote it.
        objective: What the model is for.
        revision: The commit on the Hub it was read at, else None.
        unexpected: Names of weights in the checkpoint that the model has no place for.
        changes: Settings of its configuration, ``key=value``, that were changed so that a causal
            model looks back only.
        adapter: The PEFT model around ``model`` where only an adapter is trained, else None.
        folders: Where it was read from: of an adapter its own and that of its base; else one, or
            none of what was in no folder.
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

    @property
    def change_note(self) -> str | None:
        """A sentence on what was changed in the model's configuration, if anything was."""
        if not self.changes:
            return None
        return (
            f"{self.name} looked ahead at the tokens it is to predict; it is used with "
            f"{' and '.join(self.changes)} in its configuration, with which it does not"
        )

    @property
    def notes(self) -> list[str]:
        """What was noticed on loading, a sentence each, for every command to tell."""
        notes = [] if self.change_note is None else [self.change_note]
        return [*notes, *left_over(self.unexpected)]

    @property
    def num_parameters(self) -> int:
        """Parameters of the model and its adapter, shared ones counted once."""
        return sum(parameter.numel() for parameter in self.model.parameters())

    @property
    def num_trained(self) -> int:
        """Parameters that training changes."""
        return sum(p.numel() for p in self.model.parameters() if p.requires_grad)

    @property
    def device(self) -> torch.device:
        """Where the model lies."""
        return next(self.model.parameters()).device

    @property
    def pad_id(self) -> int:
        """Fills short rows; never a target, so any id will do where there is no pad token."""
        pad = self.tokenizer.pad_token_id
        return 0 if pad is None else int(pad)

    @property
    def max_positions(self) -> int | None:
        """The longest input the model's positions allow, or None where nothing bounds it."""
        return max_positions(self.model)


def left_over(unexpected: tuple[str, ...]) -> list[str]:
    """Return a sentence on the weights that a model has no place for, if there are any."""
    if not unexpected:
        return []
    return [
        f"{len(unexpected)} weights of the checkpoint have no place in the model and are left out: "
        f"{', '.join(unexpected[:3])}"
    ]
