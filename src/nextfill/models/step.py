"""The step module of every training and evaluation step: a batch in, nats out.

Logits are computed at the positions with a target and at no others (`row_logits`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext

import numpy as np
import torch
from torch import Tensor, nn

from nextfill.config import Precision
from nextfill.core.errors import ModelError
from nextfill.data.packing.block_reader import NO_TARGET
from nextfill.models.compilation import CompiledLayers
from nextfill.models.computation import (
    autocast,
    in_mode,
    probe_ids,
    restored,
    to_device,
)
from nextfill.models.documents.isolation import Isolation
from nextfill.models.expert_load import ExpertLoad
from nextfill.models.libraries import REFUSALS, first_error_line
from nextfill.models.loss import (
    SWITCH,
    Read,
    asks_for_router,
    coefficient,
    nats_of,
)
from nextfill.models.row_logits import RowLogits
from nextfill.objectives.batch import Batch

_TOLERANCE = 1e-4
"""Difference from a model's own loss, relative to it, that still counts as equal."""


class StepModule(nn.Module):
    """A model that answers a batch with the nats of its targets."""

    def __init__(self, model: nn.Module, isolation: Isolation) -> None:
        super().__init__()
        self.model = model
        self.isolation = isolation
        self.expert_load = ExpertLoad(model)
        self._logits = RowLogits(model, isolation)
        self._layers: CompiledLayers | None = None

    @property
    def asks_for_router(self) -> bool:
        """Whether the model's config asks for the loss of a mixture's router."""
        return asks_for_router(self._logits.configs)

    @property
    def gathers(self) -> bool:
        """Whether the head is applied to the rows with a target alone."""
        return self._logits.gathers

    @property
    def has_plain_head(self) -> bool:
        """Whether nats that are learned from are made without whole logits, on a CPU."""
        return self._logits.has_plain_head

    def compile_layers(self) -> CompiledLayers:
        """Return the model's layers compiled: all but the head where it follows the targets."""
        self._layers = CompiledLayers(self._logits.layers)
        return self._layers

    def in_training(self) -> AbstractContextManager[None]:
        """Return the context of a training step, both ways, in which compiled layers are used."""
        return self._in_training()

    @contextmanager
    def _in_training(self) -> Iterator[None]:
        layers = nullcontext() if self._layers is None else self._layers.in_use()
        with layers, self.isolation.attention(self.model):
            yield

    def forward(
        self,
        input_ids: Tensor,
        labels: Tensor,
        position_ids: Tensor,
        document_ids: Tensor,
        read: Read = nats_of,
        *,
        with_router: bool = False,
        host: Batch | None = None,
    ) -> Tensor | tuple[Tensor, Tensor | None]:
        """Score the targets of a batch.

        Args:
            input_ids: ``[B, T] int64``.
            labels: ``[B, T] int64``, -100 where a position has no target.
            position_ids: ``[B, T] int64``.
            document_ids: ``[B, T] int64``, -1 on padding.
            read: Reads figures off the targets' logits.
            with_router: For a training step: return the loss of a mixture's router, too, and
                count the tokens of each expert.
            host: The same batch on the host, which then finds the targets there and does not wait
                for the device. It is fetched from the tensors by default.

        Returns:
            The figures of each target, row by row: by default the nats, ``[N] float32``. With the
            router, also its share of the loss, which adds to the mean of these nats; None where
            the model's config asks for none.
        """
        batch = (input_ids, labels, position_ids, document_ids)
        if host is None:
            host = Batch(*(part.cpu().numpy() for part in batch))
        figures, router = self._read(batch, host, read, with_router=with_router)
        return (figures, router) if with_router else figures

    def _read(
        self, batch: Sequence[Tensor], host: Batch, read: Read, *, with_router: bool
    ) -> tuple[Tensor, Tensor | None]:
        if self.isolation.heeds_padding:
            return self._score(batch, host, read, with_router=with_router)
        # The model would see padding, so that rows come in groups of one length, without any.
        lengths = (host.document_ids >= 0).sum(axis=1)
        figures, places, routers = [], [], []
        for length in sorted(set(lengths.tolist())):
            group, width = np.flatnonzero(lengths == length), max(1, length)
            on_device = to_device(group, batch[0].device)
            rows, on_host = [part[on_device, :width] for part in batch], host.some(group, width)
            one, router = self._score(rows, on_host, read, with_router=with_router)
            figures.append(one)
            routers += [] if router is None else [router * len(one)]
            places.append(group.repeat((on_host.labels != NO_TARGET).sum(axis=1)))
        order = to_device(np.concatenate(places).argsort(kind="stable"), batch[0].device)
        scored = torch.cat(figures)[order]
        return scored, torch.stack(routers).sum() / len(scored) if routers else None

    def _score(
        self, batch: Sequence[Tensor], host: Batch, read: Read, *, with_router: bool
    ) -> tuple[Tensor, Tensor | None]:
        input_ids, labels, position_ids, document_ids = batch
        rows = to_device(host.target_rows, labels.device)
        inputs, targets = (input_ids, position_ids, document_ids), labels.flatten()[rows]
        # What is compiled takes no hooks.
        is_counted = with_router and self._layers is None
        with self.expert_load.counted(host, labels.device) if is_counted else nullcontext():
            with_router = with_router and self.asks_for_router
            figures, router = self._logits.figures(
                *(inputs, rows, targets, read),
                with_router=with_router,
                host=host,
                is_compiled=self._layers is not None and self._layers.are_in_use,
            )
        weight = coefficient(self.model) if with_router else None
        return figures, None if router is None or weight is None else router * weight


def to_tensors(batch: Batch, device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return a batch as the arguments of a step module, on its device."""
    parts = (batch.input_ids, batch.labels, batch.position_ids, batch.document_ids)
    ids, labels, positions, documents = (to_device(part, device) for part in parts)
    return ids, labels, positions, documents


@torch.no_grad()
def row_problem(
    module: StepModule,
    precision: Precision,
    length: int,
    *,
    training: bool = False,
) -> str | None:
    """Return a model's refusal of a row of some length, or None if it computes one.

    Some write numbers that bfloat16 does not hold, some take rows of certain lengths only.
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
            nats = module(ids, ids, positions, torch.zeros_like(ids))
            drawn = not torch.equal(before, _random_state(device))
            if drawn and not training:  # by BigBird for weights that it then replaces
                again = module(ids, ids, positions, torch.zeros_like(ids))
                if not torch.equal(nats, again):
                    return "it is random as it evaluates, so that no figure of it can be repeated"
    except REFUSALS as error:
        return first_error_line(error)
    return None


def _random_state(device: torch.device) -> Tensor:
    return torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state()


@torch.no_grad()
def has_router_loss(module: StepModule, name: str) -> bool:
    """Return whether a model's training loss includes a router's, and check ours against it."""
    model, device = module.model, next(module.model.parameters()).device
    if not module.asks_for_router:
        return False
    ids = probe_ids(model, 2, 6).to(device)
    labels, causal = ids, module.isolation.objective == "causal"
    if causal:
        labels = torch.full_like(ids, NO_TARGET)
        labels[:, :-1] = ids[:, 1:]
    positions = torch.arange(6, device=device).expand(2, 6)
    try:
        with in_mode(model, training=False), restored(model):
            nats, router = module(ids, labels, positions, torch.zeros_like(ids), with_router=True)
            theirs = float(model(ids, labels=ids, **({"use_cache": False} if causal else {})).loss)
    except REFUSALS as error:
        raise ModelError(
            f"{name} asks for the loss of its router ({SWITCH}) and does not compute it: {error}. "
            f"Set {SWITCH} to false in its config to train without it."
        ) from error
    ours = float(nats.mean()) + (0.0 if router is None else float(router))
    if abs(ours - theirs) > _TOLERANCE * max(1.0, abs(theirs)):
        raise ModelError(
            f"{name} asks for the loss of its router ({SWITCH}) and has it in a way of its own: "
            f"its loss of a few tokens is {theirs:.6g}, and ours {ours:.6g}. Set {SWITCH} to false "
            "in its config to train without it."
        )
    return router is not None
