"""One module that every training and evaluation step goes through: a batch in, nats out."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from nextfill.config import Precision
from nextfill.data.packing.loader import NO_TARGET
from nextfill.models.compute import autocast
from nextfill.models.isolation import Isolation, probe_ids
from nextfill.models.logits import RowLogits
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
        self._logits = RowLogits(model, isolation)

    @property
    def gathers(self) -> bool:
        """Whether the head is applied to the rows with a target alone."""
        return self._logits.gathers

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
        rows = (labels != NO_TARGET).flatten().nonzero().squeeze(1)
        logits = self._logits(input_ids, position_ids, document_ids, rows)
        return functional.cross_entropy(logits, labels.flatten()[rows], reduction="none")


@torch.no_grad()
def computes_in(module: StepModule, device: torch.device, precision: Precision) -> bool:
    """Try whether a model computes in a precision; some write numbers that bfloat16 does not hold.

    Args:
        module: The step module around the model.
        device: Where it lies.
        precision: ``fp32`` or ``bf16``.
    """
    ids = probe_ids(module.model, 1, 4).to(device)
    positions = torch.arange(4, device=device)[None]
    try:
        with autocast(device, precision):
            module(ids, ids, positions, torch.zeros_like(ids))
    except RuntimeError:
        return False
    return True


def to_tensors(batch: Batch, device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return a batch as the arguments of a step module, on its device."""
    parts = (batch.input_ids, batch.labels, batch.position_ids, batch.document_ids)
    first, second, third, fourth = (torch.from_numpy(part).to(device) for part in parts)
    return first, second, third, fourth
