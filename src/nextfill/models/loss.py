"""Losses: sums of nats, figures of each target, and the load-balancing loss of a router.

A mixture of experts whose config says ``output_router_logits`` answers with an ``aux_loss`` over
the whole batch, which transformers adds to the loss times the config's coefficient. Here it comes
from the same forward, so that it is the model's own. Outside of training it is in the way (a mask
of another shape makes it fail, and so does generating with a cache) and is switched off.

Source: Fedus et al. 2021, Switch Transformers, equations (4) to (6).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from nextfill.models.architecture import bodies, configs_of

SWITCH = "output_router_logits"
_COEFFICIENTS = ("router_aux_loss_coef", "aux_loss_coef")

_SLICE = 1 << 22
"""Logits of which the nats are computed at once, 16 MB."""

Read = Callable[[Tensor, Tensor], Tensor]
"""Makes figures of the targets' logits, ``[N, V] float32``, and their ids, ``[N] int64``; one row a
target."""


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


def nats_of(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the nats of each target, ``[N] float32``.

    Of many logits in slices of rows, which gives the same numbers to the bit: PyTorch keeps the
    logarithms of all probabilities beside the logits, and makes two more such matrices on the way
    back, of 206 MB each for eight blocks of 128 tokens and GPT-2's vocabulary.
    """
    if logits.numel() <= _SLICE:
        return functional.cross_entropy(logits, targets, reduction="none")
    nats: Tensor = _SlicedNats.apply(logits, targets)  # type: ignore[no-untyped-call]
    return nats


class _SlicedNats(torch.autograd.Function):
    """The nats of targets, of which a slice of rows at a time is in memory beside the logits."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, targets: Tensor) -> Tensor:
        ctx.save_for_backward(logits, targets)
        nats = [
            functional.cross_entropy(some, theirs, reduction="none")
            for some, theirs in _slices(logits, targets)
        ]
        return torch.cat(nats)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradients: Tensor) -> tuple[Tensor, None]:
        logits, targets = ctx.saved_tensors
        of_logits = torch.empty_like(logits)
        for some, theirs, mine, into in _slices(logits, targets, gradients, of_logits):
            with torch.enable_grad():
                leaf = some.detach().requires_grad_()
                nats = functional.cross_entropy(leaf, theirs, reduction="none")
            into.copy_(torch.autograd.grad(nats, leaf, mine)[0])
        return of_logits, None


def _slices(logits: Tensor, *others: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Yield slices of rows of a matrix and of others beside it."""
    rows = max(1, _SLICE // logits.shape[1])
    several = [one.split(rows) for one in (logits, *others)]  # type: ignore[no-untyped-call]
    return zip(*several, strict=True)


def nats_and_hits(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the nats of each target, and 1 where it is the likeliest token, ``[N, 2] float32``.

    Of tokens that are equally likely, the first in the vocabulary counts as the likeliest.
    """
    hits = logits.gather(1, targets[:, None])[:, 0] == logits.amax(
        dim=1
    )  # a fifth of argmax's time
    likeliest = hits.nonzero()[:, 0]
    hits[likeliest] = logits[likeliest].argmax(dim=1) == targets[likeliest]  # the first of equals
    return torch.stack([nats_of(logits, targets), hits.float()], dim=1)


def nats_and_likeliest(count: int) -> Read:
    """Return the reader of each target's nats and of the ``count`` likeliest tokens in its place.

    Returns:
        A function whose result is ``[N, 1 + 2 * count] float32``: the nats of the target, the
        tokens' nats, likeliest first, and their ids.
    """

    def read(logits: Tensor, targets: Tensor) -> Tensor:
        nats = -logits.log_softmax(dim=1)
        likeliest = nats.topk(min(count, nats.shape[1]), dim=1, largest=False)
        of_targets = nats.gather(1, targets[:, None])
        return torch.cat([of_targets, likeliest.values, likeliest.indices.float()], dim=1)

    return read


def asks_for_router(configs: Sequence[Any]) -> bool:
    """Return whether a model's configs ask for the logits of its router, and so for their loss."""
    return any(getattr(one, SWITCH, False) for one in configs)


@contextmanager
def router_off(configs: Sequence[Any]) -> Iterator[None]:
    """Have a model compute no loss of its router, and leave its configs as they were."""
    asking = [(one, getattr(one, SWITCH)) for one in configs if getattr(one, SWITCH, False)]
    try:
        for one, _ in asking:
            setattr(one, SWITCH, False)
        yield
    finally:
        for one, before in asking:
            setattr(one, SWITCH, before)


@contextmanager
def mask_for_router(
    model: nn.Module, inputs: dict[str, Any], document_ids: Tensor
) -> Iterator[dict[str, Any]]:
    """Yield the arguments of a forward whose router's loss leaves padding out.

    The router does so by a mask ``[B, T]``, which the layers must not see where packed documents
    are kept apart by other means: a hook gives them the mask they have without it.
    """
    layers, mask_of_layers = bodies(model), inputs.get("attention_mask")
    if not layers:  # no module between the router's loss and the layers
        yield inputs
        return

    def restore(module: nn.Module, args: Any, kwargs: dict[str, Any]) -> Any:
        return args, {**kwargs, "attention_mask": mask_of_layers}

    hook = layers[0].register_forward_pre_hook(restore, with_kwargs=True)
    try:
        yield {**inputs, "attention_mask": (document_ids >= 0).long()}
    finally:
        hook.remove()


def coefficient(model: nn.Module) -> float | None:
    """Return the factor of a router's loss by the model or its configs, None if none has it."""
    for owner in (model, *configs_of(model)):
        for name in _COEFFICIENTS:
            value = getattr(owner, name, None)
            if isinstance(value, int | float):
                return float(value)
    return None
