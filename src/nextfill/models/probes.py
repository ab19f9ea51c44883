"""Trying a model out with random text: the ids, the mode, and the errors a model answers with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from nextfill.models.architecture import embedding_rows, setting, text_config

REFUSALS = (
    TypeError,
    ValueError,
    RuntimeError,
    ArithmeticError,
    LookupError,
    AttributeError,
    AssertionError,
    ImportError,
)
"""What a model answers with to arguments that it does not take."""


def probe_ids(model: nn.Module, rows: int, length: int, *, seed: int = 0) -> Tensor:
    """Return random ids, ``[rows, length] int64``, on the CPU, for trying a model out.

    The pad token stays out of them: some models tell padding by it.
    """
    generator = torch.Generator().manual_seed(length + 1000 * seed)
    ids = torch.randint(0, embedding_rows(model), (rows, length), generator=generator)
    config = getattr(model, "config", None)
    pad = None if config is None else setting(text_config(config), "pad_token_id")
    return ids if not isinstance(pad, int) else ids.where(ids != pad, (pad + 1) % 3)


@contextmanager
def in_mode(model: nn.Module, *, training: bool) -> Iterator[None]:
    """Put a model into training or evaluation mode for a while; each part goes back into its own.

    Random numbers drawn meanwhile are not missed afterwards.
    """
    modes = [(module, module.training) for module in model.modules()]
    device = next(model.parameters()).device
    model.train(training)
    try:
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            yield
    finally:
        for module, before in modes:
            module.training = before


def first_error_line(error: BaseException) -> str:
    """Return an error's type and the first line of its message, without the last full stop."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0].rstrip('.')}" if lines else type(error).__name__
