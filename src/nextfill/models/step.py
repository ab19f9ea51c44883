"""The step module of every training and evaluation step: a batch in, nats out.

Logits are computed at the positions with a target and at no others. These are gathered *before* the
model's own head, by a hook on the module whose output the head takes; the head itself, with
whatever scales and caps it has, stays the model's own. A probe at the start finds that module by
comparing with the full head, which is used where none will do.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from nextfill.config import Precision
from nextfill.core.errors import ModelError
from nextfill.data.packing.block_reader import NO_TARGET
from nextfill.models.architecture import bodies, configs_of
from nextfill.models.compilation import CompiledLayers
from nextfill.models.computation import (
    autocast,
    guarded,
    in_mode,
    probe_ids,
    restored,
)
from nextfill.models.expert_load import ExpertLoad
from nextfill.models.isolation import Isolation
from nextfill.models.libraries import REFUSALS, first_error_line
from nextfill.models.loss import (
    SWITCH,
    Read,
    asks_for_router,
    coefficient,
    mask_for_router,
    nats_of,
    router_off,
)
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

    def compile_layers(self) -> CompiledLayers:
        """Return the model's layers compiled: all but the head where it follows the targets."""
        self._layers = CompiledLayers(self._logits.layers)
        return self._layers

    def in_training(self) -> AbstractContextManager[None]:
        """Return the context of a training step, in which compiled layers are used."""
        return nullcontext() if self._layers is None else self._layers.in_use()

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
            read: Reads figures off the targets' logits.
            with_router: For a training step: return the loss of a mixture's router, too, and
                count the tokens of each expert.

        Returns:
            The figures of each target, row by row: by default the nats, ``[N] float32``. With the
            router, also its share of the loss, which adds to the mean of these nats; None where
            the model's config asks for none.
        """
        batch = (input_ids, labels, position_ids, document_ids)
        figures, router = self._read(batch, read, with_router=with_router)
        return (figures, router) if with_router else figures

    def _read(
        self, batch: Sequence[Tensor], read: Read, *, with_router: bool
    ) -> tuple[Tensor, Tensor | None]:
        if self.isolation.heeds_padding:
            return self._score(batch, read, with_router=with_router)
        # The model would see padding, so that rows come in groups of one length, without any.
        lengths = (batch[3] >= 0).sum(dim=1)
        figures, places, routers = [], [], []
        for length in sorted(set(lengths.tolist())):
            group = (lengths == length).nonzero().squeeze(1)
            rows = [part[group, : max(1, length)] for part in batch]
            one, router = self._score(rows, read, with_router=with_router)
            figures.append(one)
            routers += [] if router is None else [router * len(one)]
            places.append(group.repeat_interleave((rows[1] != NO_TARGET).sum(dim=1)))
        scored = torch.cat(figures)[torch.cat(places).argsort(stable=True)]
        return scored, torch.stack(routers).sum() / len(scored) if routers else None

    def _score(
        self, batch: Sequence[Tensor], read: Read, *, with_router: bool
    ) -> tuple[Tensor, Tensor | None]:
        input_ids, labels, position_ids, document_ids = batch
        rows = (labels != NO_TARGET).flatten().nonzero().squeeze(1)
        inputs, targets = (input_ids, position_ids, document_ids, rows), labels.flatten()[rows]
        # What is compiled takes no hooks.
        is_counted = with_router and self._layers is None
        with self.expert_load.counted(document_ids) if is_counted else nullcontext():
            if not (with_router and self.asks_for_router):
                return read(self._logits(*inputs), targets), None
            logits, router = self._logits.with_router(*inputs)
        weight = coefficient(self.model)
        if router is None or weight is None:
            return read(logits, targets), None
        return read(logits, targets), router * weight


def to_tensors(batch: Batch, device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return a batch as the arguments of a step module, on its device."""
    parts = (batch.input_ids, batch.labels, batch.position_ids, batch.document_ids)
    ids, labels, positions, documents = (torch.from_numpy(part).to(device) for part in parts)
    return ids, labels, positions, documents


class RowLogits:
    """A model's vocabulary logits at some positions of a batch, and at no others."""

    def __init__(self, model: nn.Module, isolation: Isolation) -> None:
        self._model = model
        self._isolation = isolation
        self.configs = configs_of(model)
        with router_off(self.configs):
            self._body = self._probe()

    @property
    def gathers(self) -> bool:
        """Whether the head is applied to the chosen positions alone."""
        return self._body is not None

    @property
    def layers(self) -> nn.Module:
        """The module before the head, or the whole model where the head needs every position."""
        return self._model if self._body is None else self._body

    def __call__(
        self, input_ids: Tensor, position_ids: Tensor, document_ids: Tensor, rows: Tensor
    ) -> Tensor:
        """Compute the logits, ``[N, V] float32``, of rows of the flattened batch, ``[N] int64``.

        The others are ``[B, T] int64``, padded at the right, as `Isolation.inputs` takes them.
        """
        inputs = self._isolation.inputs(input_ids, position_ids, document_ids)
        with router_off(self.configs):
            return self._forward(self._body, inputs, rows)[0]

    def with_router(
        self, input_ids: Tensor, position_ids: Tensor, document_ids: Tensor, rows: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Compute the logits, and the router loss without its coefficient, None without one."""
        inputs = self._isolation.inputs(input_ids, position_ids, document_ids)
        with mask_for_router(self._model, inputs, document_ids) as masked:
            return self._forward(self._body, masked, rows)

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
        """Find the module before the head that gathers with the same result, None if none does."""
        device = next(self._model.parameters()).device
        ids = probe_ids(self._model, 2, 6).to(device)
        positions = torch.arange(6, device=device).expand(2, 6)
        rows = torch.tensor([2, 6, 11], device=device)
        inputs = self._isolation.inputs(ids, positions, torch.zeros_like(ids))
        with in_mode(self._model, training=False), restored(self._model):
            full, _ = self._forward(None, inputs, rows)
            for body in bodies(self._model):
                try:
                    logits, _ = self._forward(body, inputs, rows)
                except REFUSALS:
                    continue  # the head wants the whole sequence, or takes it from elsewhere
                if logits.shape == full.shape and torch.allclose(logits, full, 1e-4, 1e-4):
                    return body
        return None


@contextmanager
def _gathered(body: nn.Module, rows: Tensor) -> Iterator[None]:
    """Make a module return the hidden states of some positions alone."""

    def gather(module: nn.Module, args: Any, output: Any) -> Any:
        output.last_hidden_state = output[0].flatten(0, 1)[rows][None]
        return output

    handle = body.register_forward_hook(gather)
    try:
        yield
    finally:
        handle.remove()


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
