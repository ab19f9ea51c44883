"""What a model does with its linear layers as it computes: calls them, or reads their weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from nextfill.models.architecture import embedding_rows
from nextfill.models.computation import in_mode, restored

_TOKENS = 8
"""Tokens of the row by which it is seen."""


class _Watched(nn.Module):
    """Stands in the place of a layer, and tells what is done with it."""

    def __init__(self, layer: nn.Module, called: set[str], read: set[str], name: str) -> None:
        super().__init__()
        self.layer, self.name = layer, name
        self.called, self.read = called, read

    def forward(self, *inputs: Any, **named: Any) -> Any:
        self.called.add(self.name)
        return self.layer(*inputs, **named)

    def __getattr__(self, name: str) -> Any:
        if name in ("layer", "forward"):
            return super().__getattr__(name)
        if name == "weight":
            self.read.add(self.name)
        return getattr(self.layer, name)


@torch.no_grad()
def only_called(model: nn.Module, names: list[str]) -> list[str]:
    """Return the layers that a model calls and whose weights nothing else reads.

    Where another part reads a weight, its shape or its type, it cannot be held in another form:
    some compute with it, and some turn their inputs into its type. Layers of one name are used
    alike, so that one of them tells of all: of a mixture's experts a row of text calls a few.

    Args:
        model: The model, which is as it was afterwards.
        names: Names of the layers.
    """
    called: set[str] = set()
    read: set[str] = set()
    layers = {name: model.get_submodule(name) for name in names}
    device = next(model.parameters()).device
    ids = torch.arange(_TOKENS, device=device)[None] % embedding_rows(model)
    with restored(model), in_mode(model, training=False):
        try:
            for name, layer in layers.items():
                model.set_submodule(name, _Watched(layer, called, read, _end(name)))
            model(input_ids=ids)
        finally:
            for name, layer in layers.items():
                model.set_submodule(name, layer)
    return [name for name in names if _end(name) in called - read]


def _end(name: str) -> str:
    return name.rpartition(".")[2]
