"""One module that every training and evaluation step goes through: a batch in, nats out."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from nextfill.config import Precision
from nextfill.data.packing.loader import NO_TARGET
from nextfill.models.compute import autocast
from nextfill.models.isolation import Isolation
from nextfill.models.logits import RowLogits
from nextfill.models.probes import REFUSALS, first_error_line, in_mode, probe_ids
from nextfill.models.side_effects import restored
from nextfill.objectives.batch import Batch

Read = Callable[[Tensor, Tensor], Tensor]
"""Makes something of the targets' logits, ``[N, V] float32``, and their ids, ``[N] int64``; one
row a target."""


def nats_of(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the nats of each target, ``[N] float32``."""
    return functional.cross_entropy(logits, targets, reduction="none")


def nats_and_hits(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the nats of each target, and 1 where no token is likelier, ``[N, 2] float32``."""
    hits = logits.argmax(dim=1) == targets
    return torch.stack([nats_of(logits, targets), hits.float()], dim=1)


def nats_and_likeliest(count: int) -> Read:
    """Return what reads the nats of each target and the likeliest tokens in its place.

    Args:
        count: How many of these.

    Returns:
        A function whose result is ``[N, 1 + 2 * count] float32``: the nats of the target, the
        tokens' nats, likeliest first, and their ids.
    """

    def read(logits: Tensor, targets: Tensor) -> Tensor:
        nats = -logits.log_softmax(dim=1)
        likeliest = nats.topk(min(count, nats.shape[1]), dim=1, largest=False)
        own = nats.gather(1, targets[:, None])
        return torch.cat([own, likeliest.values, likeliest.indices.float()], dim=1)

    return read


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
        self,
        input_ids: Tensor,
        labels: Tensor,
        position_ids: Tensor,
        document_ids: Tensor,
        read: Read = nats_of,
    ) -> Tensor:
        """Score the targets of a batch.

        Args:
            input_ids: ``[B, T] int64``.
            labels: ``[B, T] int64``, -100 where a position has no target.
            position_ids: ``[B, T] int64``.
            document_ids: ``[B, T] int64``, -1 on padding.
            read: What is read off the targets' logits.

        Returns:
            What was read of each target, row by row: the nats, ``[N] float32``, if nothing else
            is asked for.
        """
        batch = (input_ids, labels, position_ids, document_ids)
        if self.isolation.heeds_padding:
            return self._score(batch, read)
        # Padding would be seen, so that rows are given in groups of one length, without any.
        lengths = (document_ids >= 0).sum(dim=1)
        found, places = [], []
        for length in sorted(set(lengths.tolist())):
            group = (lengths == length).nonzero().squeeze(1)
            rows = [part[group, : max(1, length)] for part in batch]
            found.append(self._score(rows, read))
            places.append(group.repeat_interleave((rows[1] != NO_TARGET).sum(dim=1)))
        return torch.cat(found)[torch.cat(places).argsort(stable=True)]

    def _score(self, batch: Sequence[Tensor], read: Read) -> Tensor:
        input_ids, labels, position_ids, document_ids = batch
        rows = (labels != NO_TARGET).flatten().nonzero().squeeze(1)
        logits = self._logits(input_ids, position_ids, document_ids, rows)
        return read(logits, labels.flatten()[rows])


@torch.no_grad()
def row_problem(
    module: StepModule,
    precision: Precision,
    length: int,
    *,
    training: bool = False,
) -> str | None:
    """Return what a model answers to a row of some length, or None if it computes one.

    Some write numbers that bfloat16 does not hold, some take rows of certain lengths only.

    Args:
        module: The step module around the model, on its device; it is left as it was.
        precision: ``fp32`` or ``bf16``.
        length: Tokens.
        training: In training mode.
    """
    device = next(module.parameters()).device
    ids = probe_ids(module.model, 1, length).to(device)
    positions = torch.arange(length, device=device)[None]
    try:
        with (
            in_mode(module, training=training),
            restored(module.model),
            autocast(device, precision),
        ):
            before = _random_state(device)
            module(ids, ids, positions, torch.zeros_like(ids))
            repeats = torch.equal(before, _random_state(device))
    except REFUSALS as error:
        return first_error_line(error)
    if not training and not repeats:
        return "it draws random numbers as it evaluates, so that no figure of it can be repeated"
    return None


def _random_state(device: torch.device) -> Tensor:
    return torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state()


def to_tensors(batch: Batch, device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return a batch as the arguments of a step module, on its device."""
    parts = (batch.input_ids, batch.labels, batch.position_ids, batch.document_ids)
    first, second, third, fourth = (torch.from_numpy(part).to(device) for part in parts)
    return first, second, third, fourth
