"""A model's vocabulary logits at some positions of a batch, and at no others.

Those positions are gathered *before* the model's own head, by a hook on the module whose output the
head takes, so that the logits of all others are never computed; the head itself, with whatever
scales and caps it has, stays the model's own. A probe at the start finds that module by comparing
with the full head, which is used where none will do.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from nextfill.models.architecture import bodies, configs_of
from nextfill.models.isolation import Isolation
from nextfill.models.probes import REFUSALS, in_mode, probe_ids
from nextfill.models.router_loss import mask_for_router, router_off
from nextfill.models.side_effects import guarded, restored


class RowLogits:
    """Computes logits at chosen positions.

    Args:
        model: A transformers model.
        isolation: How rows of documents are given to it.
    """

    def __init__(self, model: nn.Module, isolation: Isolation) -> None:
        self._model = model
        self._isolation = isolation
        self._configs = configs_of(model)
        with router_off(self._configs):
            self._body = self._probe()

    @property
    def gathers(self) -> bool:
        """Whether the head is applied to the chosen positions alone."""
        return self._body is not None

    def __call__(
        self, input_ids: Tensor, position_ids: Tensor, document_ids: Tensor, rows: Tensor
    ) -> Tensor:
        """Compute the logits.

        Args:
            input_ids: ``[B, T] int64``, padded at the right.
            position_ids: ``[B, T] int64``, from 0, restarting with each document.
            document_ids: ``[B, T] int64``, -1 on padding.
            rows: Positions in the flattened batch, ``[N] int64``.

        Returns:
            ``[N, V] float32``.
        """
        inputs = self._isolation.inputs(input_ids, position_ids, document_ids)
        with router_off(self._configs):
            return self._forward(self._body, inputs, rows)[0]

    def with_router(
        self, input_ids: Tensor, position_ids: Tensor, document_ids: Tensor, rows: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Compute the logits, and the loss of the model's router, as it is without a coefficient.

        Args:
            input_ids: ``[B, T] int64``, padded at the right.
            position_ids: ``[B, T] int64``, from 0, restarting with each document.
            document_ids: ``[B, T] int64``, -1 on padding, which is no part of the router's loss.
            rows: Positions in the flattened batch, ``[N] int64``.

        Returns:
            ``[N, V] float32``; and a number, None where the model has no such loss.
        """
        inputs = self._isolation.inputs(input_ids, position_ids, document_ids)
        with mask_for_router(self._model, inputs, document_ids) as told:
            return self._forward(self._body, told, rows)

    def _forward(
        self, body: nn.Module | None, inputs: dict[str, Any], rows: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        with (
            guarded(self._model),
            nullcontext() if body is None else _gathered(body, rows),
        ):
            output = self._model(**inputs)
        logits = output.logits.flatten(0, 1)
        logits = logits[rows] if body is None else logits
        router = getattr(output, "aux_loss", None)
        return logits.float(), router if isinstance(router, Tensor) else None

    @torch.no_grad()
    def _probe(self) -> nn.Module | None:
        """Find the module before the head: None, or one that gathers with the same result."""
        device = next(self._model.parameters()).device
        ids = probe_ids(self._model, 2, 6).to(device)
        positions = torch.arange(6, device=device).expand(2, 6)
        rows = torch.tensor([2, 6, 11], device=device)
        inputs = self._isolation.inputs(ids, positions, torch.zeros_like(ids))
        with in_mode(self._model, training=False), restored(self._model):
            full, _ = self._forward(None, inputs, rows)
            for body in bodies(self._model):
                try:
                    found, _ = self._forward(body, inputs, rows)
                except REFUSALS:
                    continue  # the head wants the whole sequence, or takes it from elsewhere
                if found.shape == full.shape and torch.allclose(found, full, 1e-4, 1e-4):
                    return body
        return None


@contextmanager
def _gathered(body: nn.Module, rows: Tensor) -> Iterator[None]:
    """Have a module hand on the hidden states of these positions alone."""

    def gather(module: nn.Module, args: Any, output: Any) -> Any:
        output.last_hidden_state = output[0].flatten(0, 1)[rows][None]
        return output

    handle = body.register_forward_hook(gather)
    try:
        yield
    finally:
        handle.remove()
