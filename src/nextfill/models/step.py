"""The step module of every training and evaluation step: a batch in, nats out."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from nextfill.config import Precision
from nextfill.core.errors import ModelError
from nextfill.data.packing.block_reader import NO_TARGET
from nextfill.models.architecture import configs_of
from nextfill.models.device import autocast
from nextfill.models.head import RowLogits
from nextfill.models.isolation import Isolation
from nextfill.models.probes import REFUSALS, first_error_line, in_mode, probe_ids
from nextfill.models.router_loss import SWITCH, asks_for_router, coefficient
from nextfill.models.side_effects import restored
from nextfill.objectives.batch import Batch


@dataclass(frozen=True)
class LossSum:
    """A sum of nats and how many targets it is over.

    Sums add up over micro-batches, ranks and batches, so that no average of averages is ever taken
    and the result does not depend on how rows were grouped.

    Args:
        nats: Sum of negative log-likelihoods in nats, a Python float (float64).
        targets: Targets scored.

    Example:
        >>> (LossSum(6.0, 2) + LossSum(3.0, 1)).mean
        3.0
    """

    nats: float = 0.0
    targets: int = 0

    def __add__(self, other: LossSum) -> LossSum:
        return LossSum(self.nats + other.nats, self.targets + other.targets)

    @property
    def mean(self) -> float:
        """Nats per target; NaN where nothing was scored."""
        return self.nats / self.targets if self.targets else math.nan

    @property
    def perplexity(self) -> float:
        """exp(total nats / total targets); infinite where that overflows."""
        try:
            return math.exp(self.mean)
        except OverflowError:
            return math.inf


_TOLERANCE = 1e-4
"""Difference from a model's own loss, relative to it, that still counts as equal."""

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
        self._configs = configs_of(model)

    @property
    def asks_for_router(self) -> bool:
        """Whether the model's config asks for the loss of a mixture's router."""
        return asks_for_router(self._configs)

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
        *,
        with_router: bool = False,
    ) -> Tensor | tuple[Tensor, Tensor | None]:
        """Score the targets of a batch.

        Args:
            input_ids: ``[B, T] int64``.
            labels: ``[B, T] int64``, -100 where a position has no target.
            position_ids: ``[B, T] int64``.
            document_ids: ``[B, T] int64``, -1 on padding.
            read: What is read off the targets' logits.
            with_router: For a training step: return the loss of a mixture's router, too.

        Returns:
            What was read of each target, row by row: the nats, ``[N] float32``, if nothing else
            is asked for. With the router, also what its loss adds to the mean of these nats; None
            where the model's config asks for none.
        """
        batch = (input_ids, labels, position_ids, document_ids)
        found, router = self._read(batch, read, with_router=with_router)
        return (found, router) if with_router else found

    def _read(
        self, batch: Sequence[Tensor], read: Read, *, with_router: bool
    ) -> tuple[Tensor, Tensor | None]:
        if self.isolation.heeds_padding:
            return self._score(batch, read, with_router=with_router)
        # Padding would be seen, so that rows are given in groups of one length, without any.
        lengths = (batch[3] >= 0).sum(dim=1)
        found, places, routers = [], [], []
        for length in sorted(set(lengths.tolist())):
            group = (lengths == length).nonzero().squeeze(1)
            rows = [part[group, : max(1, length)] for part in batch]
            one, router = self._score(rows, read, with_router=with_router)
            found.append(one)
            routers += [] if router is None else [router * len(one)]
            places.append(group.repeat_interleave((rows[1] != NO_TARGET).sum(dim=1)))
        scored = torch.cat(found)[torch.cat(places).argsort(stable=True)]
        return scored, torch.stack(routers).sum() / len(scored) if routers else None

    def _score(
        self, batch: Sequence[Tensor], read: Read, *, with_router: bool
    ) -> tuple[Tensor, Tensor | None]:
        input_ids, labels, position_ids, document_ids = batch
        rows = (labels != NO_TARGET).flatten().nonzero().squeeze(1)
        inputs, targets = (input_ids, position_ids, document_ids, rows), labels.flatten()[rows]
        if not (with_router and self.asks_for_router):
            return read(self._logits(*inputs), targets), None
        logits, router = self._logits.with_router(*inputs)
        weight = coefficient(self.model)
        if router is None or weight is None:
            return read(logits, targets), None
        return read(logits, targets), router * weight


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
            found = module(ids, ids, positions, torch.zeros_like(ids))
            drawn = not torch.equal(before, _random_state(device))
            if drawn and not training:  # by BigBird for weights that it then replaces
                again = module(ids, ids, positions, torch.zeros_like(ids))
                if not torch.equal(found, again):
                    return "it is random as it evaluates, so that no figure of it can be repeated"
    except REFUSALS as error:
        return first_error_line(error)
    return None


def _random_state(device: torch.device) -> Tensor:
    return torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state()


@torch.no_grad()
def has_router_loss(module: StepModule, name: str) -> bool:
    """Say whether a model's training loss includes a router's, and check ours against it."""
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


def to_tensors(batch: Batch, device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return a batch as the arguments of a step module, on its device."""
    parts = (batch.input_ids, batch.labels, batch.position_ids, batch.document_ids)
    first, second, third, fourth = (torch.from_numpy(part).to(device) for part in parts)
    return first, second, third, fourth
