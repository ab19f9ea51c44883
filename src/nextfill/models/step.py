"""One module that every training and evaluation step goes through: a batch in, nats out.

The rows that have a target are gathered *before* the model's own head, by a hook on its base
model, so that the vocabulary logits of all other rows are never computed; the head itself, with
whatever scales and caps it has, stays the model's own. A probe at the start compares this with the
full head and falls back to it where they differ.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from nextfill.data.packing.loader import NO_TARGET
from nextfill.models.isolation import Isolation, model_inputs
from nextfill.models.shape import embedding_rows
from nextfill.objectives.batch import Batch


class StepModule(nn.Module):
    """A model that answers a batch with the nats of its targets.

    Args:
        model: A transformers causal model.
        isolation: What keeps its packed documents apart.
    """

    def __init__(self, model: nn.Module, isolation: Isolation) -> None:
        super().__init__()
        self.model = model
        self.isolation: Isolation = isolation
        self.gathers = False
        self.gathers = self._probe_gather()

    def forward(
        self, input_ids: Tensor, labels: Tensor, position_ids: Tensor, document_ids: Tensor
    ) -> Tensor:
        """Score the targets of a batch.

        Args:
            input_ids: ``[B, T] int64``.
            labels: ``[B, T] int64``, -100 where a position has no target.
            position_ids: ``[B, T] int64``.
            document_ids: ``[B, T] int64``, -1 on padding.

        Returns:
            Nats of each target, ``[N] float32``, row by row.
        """
        inputs = model_inputs(self.isolation, input_ids, position_ids, document_ids)
        rows = (labels != NO_TARGET).flatten().nonzero().squeeze(1)
        if self.gathers:
            with self._gathering(rows):
                logits = self.model(**inputs).logits.flatten(0, 1)
        else:
            logits = self.model(**inputs).logits.flatten(0, 1)[rows]
        targets = labels.flatten()[rows]
        return functional.cross_entropy(logits.float(), targets, reduction="none")

    @contextmanager
    def _gathering(self, rows: Tensor) -> Iterator[None]:
        def gather(module: nn.Module, args: Any, output: Any) -> Any:
            hidden = output[0]
            output.last_hidden_state = hidden.flatten(0, 1)[rows][None]
            return output

        base: nn.Module = self.model.base_model  # type: ignore[assignment]
        handle = base.register_forward_hook(gather)
        try:
            yield
        finally:
            handle.remove()

    @torch.no_grad()
    def _probe_gather(self) -> bool:
        base = getattr(self.model, "base_model", None)
        if base is None or base is self.model:
            return False
        was_training = self.model.training
        self.model.eval()
        device = next(self.model.parameters()).device
        vocabulary = embedding_rows(self.model)
        ids = torch.arange(12, device=device).reshape(2, 6) % vocabulary
        positions = torch.arange(6, device=device).expand(2, 6)
        labels = torch.full_like(ids, NO_TARGET)
        labels[0, 2], labels[1, 0], labels[1, 5] = 1, 0, 1
        batch = (ids, labels, positions, torch.zeros_like(ids))
        full = self(*batch)
        self.gathers = True
        try:
            gathered = self(*batch)
        except (AttributeError, IndexError, TypeError, RuntimeError, ValueError):
            return False  # the model's head wants the whole sequence
        finally:
            self.gathers = False
            self.model.train(was_training)
        return gathered.shape == full.shape and torch.allclose(gathered, full, 1e-4, 1e-4)


def to_tensors(batch: Batch, device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return a batch as the arguments of a step module, on its device."""
    parts = (batch.input_ids, batch.labels, batch.position_ids, batch.document_ids)
    first, second, third, fourth = (torch.from_numpy(part).to(device) for part in parts)
    return first, second, third, fourth
