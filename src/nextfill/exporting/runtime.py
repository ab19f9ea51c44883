"""An exported model as its own program computes it, and the model itself in the same form."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from nextfill.config import ExportQuantization
from nextfill.exporting.text_logits import TextLogits, padded
from nextfill.models.loaded_model import LoadedModel


class Runtime(Protocol):
    """A model that another program has read."""

    name: str
    """The program and its version."""

    def log_probabilities(self, row: Sequence[int], targets: Sequence[int]) -> Tensor:
        """Return log-probabilities in a text, ``[T, V] float32``.

        Those of the targets are among them wherever there are any; what is not told is NaN.
        """
        ...

    def greedy(self, prompts: Sequence[Sequence[int]], new: int, ends: frozenset[int]) -> Rows:
        """Return the likeliest new tokens of each prompt, the end token not among them."""
        ...


Rows = list[list[int]]
Logits = Callable[[Tensor, Tensor], Tensor]
"""A function of ids and a mask, ``[B, T] int64``, to logits, ``[B, T, V]``."""


class Format(Protocol):
    """A format that models can be exported to."""

    def check(self, loaded: LoadedModel) -> str:
        """Refuse a model that the format has no place for; return a note on it, mostly empty."""
        ...

    def write(self, loaded: LoadedModel, folder: Path, quantization: ExportQuantization) -> None:
        """Write a model without an adapter into an empty folder."""
        ...

    def read(self, loaded: LoadedModel, folder: Path) -> Runtime:
        """Read a folder by the format's own program; ``loaded`` is the model it was made from."""
        ...

    def libraries(self) -> dict[str, str]:
        """Return the versions of the libraries that wrote and read it."""
        ...

    def usage(self, folder: Path) -> str:
        """Return a line to type that uses what is in a folder."""
        ...


class ByLogits:
    """A program that gives logits alone, so that texts are continued here.

    Args:
        name: The program and its version.
        logits_of: Its function.
        pad_id: The token that fills short rows.
    """

    def __init__(self, name: str, logits_of: Logits, pad_id: int) -> None:
        self.name = name
        self._logits_of = logits_of
        self._pad_id = pad_id

    def log_probabilities(self, row: Sequence[int], targets: Sequence[int]) -> Tensor:
        """Return the log-probabilities in a text, ``[T, V] float32``; targets change nothing."""
        del targets
        ids = torch.tensor([row])
        return self._logits_of(ids, torch.ones_like(ids))[0].float().log_softmax(-1)

    def greedy(self, prompts: Sequence[Sequence[int]], new: int, ends: frozenset[int]) -> Rows:
        """Return the likeliest new tokens of each prompt, the end token not among them."""
        rows = [list(prompt) for prompt in prompts]
        going = set(range(len(rows)))
        for _ in range(new):
            if not going:
                break
            chosen = self._next_tokens([rows[at] for at in sorted(going)])
            for at, token in zip(sorted(going), chosen, strict=True):
                if token in ends:
                    going.discard(at)
                else:
                    rows[at].append(token)
        return [row[len(prompt) :] for row, prompt in zip(rows, prompts, strict=True)]

    def _next_tokens(self, rows: Rows) -> list[int]:
        logits = self._logits_of(*padded(rows, self._pad_id))
        return [int(logits[at, len(row) - 1].argmax()) for at, row in enumerate(rows)]


def own_runtime(loaded: LoadedModel) -> ByLogits:
    """Return a model in PyTorch as a runtime."""
    function = TextLogits(loaded).eval()

    def logits_of(ids: Tensor, mask: Tensor) -> Tensor:
        with torch.inference_mode():
            logits: Tensor = function(ids, mask)
        return logits

    return ByLogits(f"torch {torch.__version__}", logits_of, loaded.pad_id)
