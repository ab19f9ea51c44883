"""Compiled training steps: the layers of a model as PyTorch's compiler makes them for each shape.

Evaluations compute as ever, so that their figures are those of `evaluate`. Each shape of a batch is
compiled by itself, so that what is computed for it depends on nothing that came before, and dropout
draws the same numbers as without compilation. With dropout two runs on a CPU still differ by about
1e-7 of the loss, by where their memory happens to lie; without it they were the same bytes.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from nextfill.core.errors import ConfigError
from nextfill.models.computation import probe_ids, restored
from nextfill.models.libraries import REFUSALS, first_error_line

COMPILERS = ("g++", "clang++", "c++")


class CompiledLayers:
    """The forward of a module, compiled for the time of a training step.

    Args:
        module: The layers; a hook on them stays outside of what is compiled.
    """

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        options: dict[str, Any] = {"fallback_random": True}
        self._forward = torch.compile(module.forward, dynamic=False, options=options)

    @property
    def are_in_use(self) -> bool:
        """Whether the module computes as compiled, so that it takes no hooks inside."""
        return vars(self._module).get("forward") is self._forward

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Let the module compute as compiled."""
        self._module.forward = self._forward
        try:
            yield
        finally:
            del self._module.forward


def check_compiler(device: torch.device) -> None:
    """Refuse compilation for a CPU without a compiler, with what installs one."""
    asked = os.environ.get("CXX")
    found = [name for name in ([asked] if asked else COMPILERS) if shutil.which(name)]
    if device.type == "cpu" and not found:
        missing = f"CXX={asked}" if asked else f"{', '.join(COMPILERS)}: none"
        install = "xcode-select --install" if sys.platform == "darwin" else "apt install g++"
        raise ConfigError(
            [
                f"--compile needs a C++ compiler ({missing} is found): install one, such as by "
                f"{install}, or leave it out."
            ]
        )


def compile_problem(
    module: nn.Module, model: nn.Module, layers: CompiledLayers, rows: int, length: int
) -> str | None:
    """Return why a model cannot take a compiled step forward and back, None if it can.

    Args:
        module: The step module.
        model: Its model.
        layers: Those of the model.
        rows: Rows of the batch that it is tried with.
        length: Tokens of a row.
    """
    parameters = list(module.parameters())
    device = parameters[0].device
    ids = probe_ids(model, rows, length).to(device)
    positions = torch.arange(length, device=device).expand(rows, length)
    modes = [(one, one.training) for one in module.modules()]
    try:
        with torch.random.fork_rng([device] if device.type == "cuda" else []), restored(model):
            module.train()
            with layers.in_use():
                module(ids, ids, positions, torch.zeros_like(ids)).mean().backward()
    except REFUSALS as error:
        return first_error_line(error)
    finally:
        for parameter in parameters:
            parameter.grad = None
        for one, training in modes:
            one.training = training
    return None
