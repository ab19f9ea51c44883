"""One module that every training and evaluation step goes through: a batch in, nats out.

The rows that have a target are gathered *before* the model's own head, by a hook on the module
whose output the head takes, so that the vocabulary logits of all other rows are never computed; the
head itself, with whatever scales and caps it has, stays the model's own. A probe at the start finds
that module by comparing with the full head, which is used where none will do.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from nextfill.data.packing.loader import NO_TARGET
from nextfill.models.isolation import Isolation
from nextfill.models.shape import bodies, embedding_rows
from nextfill.objectives.batch import Batch


class StepModule(nn.Module):
    """A model that answers a batch with the nats of its targets.

    Args:
        model: A transformers model.
        isolation: How rows of documents are given to it.
    """

    def __init__(self, model: nn.Module, isolation: Isolation) -> None:
        super().__init__()
        self.model = model
        self.isolation = isolation
        self._body: tuple[nn.Module, ...] = ()  # in a tuple, so as not to be registered twice
        self._body = self._probe_body()

    @property
    def gathers(self) -> bool:
        """Whether the head is applied to the rows with a target alone."""
        return bool(self._body)

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
        batch = (input_ids, labels, position_ids, document_ids)
        if self.isolation.heeds_padding:
            return self._score(*batch)
        # Padding would be seen, so that rows are given in groups of one length, without any.
        lengths = (document_ids >= 0).sum(dim=1)
        nats, places = [], []
        for length in sorted(set(lengths.tolist())):
            group = (lengths == length).nonzero().squeeze(1)
            rows = [part[group, : max(1, length)] for part in batch]
            nats.append(self._score(*rows))
            places.append(group.repeat_interleave((rows[1] != NO_TARGET).sum(dim=1)))
        return torch.cat(nats)[torch.cat(places).argsort(stable=True)]

    def _score(
        self, input_ids: Tensor, labels: Tensor, position_ids: Tensor, document_ids: Tensor
    ) -> Tensor:
        inputs = self.isolation.inputs(input_ids, position_ids, document_ids)
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

        handle = self._body[0].register_forward_hook(gather)
        try:
            yield
        finally:
            handle.remove()

    @torch.no_grad()
    def _probe_body(self) -> tuple[nn.Module, ...]:
        """Find the module before the head: empty, or one that gathers with the same result."""
        was_training = self.model.training
        self.model.eval()
        device = next(self.model.parameters()).device
        ids = torch.arange(12, device=device).reshape(2, 6) % embedding_rows(self.model)
        positions = torch.arange(6, device=device).expand(2, 6)
        labels = torch.full_like(ids, NO_TARGET)
        labels[0, 2], labels[1, 0], labels[1, 5] = 1, 0, 1
        batch = (ids, labels, positions, torch.zeros_like(ids))
        full = self(*batch)
        try:
            for body in bodies(self.model):
                self._body = (body,)
                try:
                    gathered = self(*batch)
                except (AttributeError, IndexError, TypeError, RuntimeError, ValueError):
                    continue  # the head wants the whole sequence, or takes it from elsewhere
                if gathered.shape == full.shape and torch.allclose(gathered, full, 1e-4, 1e-4):
                    return (body,)
            return ()
        finally:
            self._body = ()
            self.model.train(was_training)


def to_tensors(batch: Batch, device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return a batch as the arguments of a step module, on its device."""
    parts = (batch.input_ids, batch.labels, batch.position_ids, batch.document_ids)
    first, second, third, fourth = (torch.from_numpy(part).to(device) for part in parts)
    return first, second, third, fourth
