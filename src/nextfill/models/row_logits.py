"""A model's vocabulary logits, or the nats of targets, at some positions of a batch and no others.

The positions are gathered *before* the model's own head, by a hook on the module whose output the
head takes; the head itself, with whatever scales and caps it has, stays the model's own. A probe at
the start finds that module by comparing with the full head, which is used where none will do.
Another finds whether the head is a linear layer and nothing else, whose logits need not be whole
while it is trained (`head_loss`), and a third what of the last layer can be left to these positions
(`last_layer`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from nextfill.models.architecture import bodies, configs_of
from nextfill.models.computation import guarded, in_mode, probe_ids, restored
from nextfill.models.documents.isolation import Isolation
from nextfill.models.documents.transformers_masks import known_to_masks
from nextfill.models.head_loss import HEIGHT, PlainHead, is_worthwhile, plain_head
from nextfill.models.last_layer import LastLayer, parts_of_last_layer
from nextfill.models.libraries import REFUSALS
from nextfill.models.loss import Read, mask_for_router, nats_of, router_off
from nextfill.objectives.batch import Batch


class RowLogits:
    """A model's vocabulary logits at some positions of a batch, and what is read off them."""

    def __init__(self, model: nn.Module, isolation: Isolation) -> None:
        self._model = model
        self._isolation = isolation
        self.configs = configs_of(model)
        with router_off(self.configs):
            self._body = self._probe()
            self._head = None if self._body is None else self._probe_head(self._body)
            self._last = None if self._body is None else self._probe_last_layer(self._body)

    @property
    def gathers(self) -> bool:
        """Whether the head is applied to the chosen positions alone."""
        return self._body is not None

    @property
    def has_plain_head(self) -> bool:
        """Whether the logits of the chosen positions are those of one linear layer."""
        return self._head is not None

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
        last = self._last_layer(len(rows), input_ids.numel())
        with router_off(self.configs):
            return self._forward(self._body, inputs, rows, last)[0]

    def figures(
        self,
        batch: tuple[Tensor, Tensor, Tensor],
        rows: Tensor,
        targets: Tensor,
        read: Read,
        *,
        with_router: bool = False,
        host: Batch | None = None,
        is_compiled: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Read figures off the logits of rows, and compute the loss of a router.

        Args:
            batch: The first three that a call takes.
            rows: Of the flattened batch, ``[N] int64``.
            targets: The ids of these rows, ``[N] int64``.
            read: Reads the figures, a row of them a target.
            with_router: Whether to compute the loss of a mixture's router.
            host: The batch on the host.
            is_compiled: Whether the layers are, which then take no hooks inside.

        Returns:
            The figures, and the router's loss without its coefficient, None without one. The nats
            of many targets that are to be learned are made without the whole logits.
        """
        inputs = self._isolation.inputs(*batch, host)
        head = self._head if self._is_left_out(read, len(rows)) else None
        with ExitStack() as stack:
            if with_router:
                inputs = stack.enter_context(mask_for_router(self._model, inputs, batch[2]))
            else:
                stack.enter_context(router_off(self.configs))
            given = [] if head is None else stack.enter_context(head.left_out())
            stack.enter_context(known_to_masks(host, rows.device))
            has_whole = with_router or is_compiled
            last = None if has_whole else self._last_layer(len(rows), batch[0].numel())
            logits, router = self._forward(self._body, inputs, rows, last)
        if head is None:
            return read(logits, targets), router
        return head.nats(given[0].flatten(0, 1)[: len(rows)], targets), router

    def _last_layer(self, rows: int, positions: int) -> LastLayer | None:
        last = self._last
        return last if last is not None and last.is_worthwhile(rows, positions) else None

    def _is_left_out(self, read: Read, rows: int) -> bool:
        if read is not nats_of or self._head is None or not torch.is_grad_enabled():
            return False
        return self._head.in_use and is_worthwhile(rows, self._head.vocabulary)

    def _forward(
        self,
        body: nn.Module | None,
        inputs: dict[str, Any],
        rows: Tensor,
        last: LastLayer | None = None,
        *,
        weights: dict[str, Tensor] | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        filled = _filled_rows(rows)
        with ExitStack() as stack:
            stack.enter_context(guarded(self._model))
            stack.enter_context(self._isolation.attention(self._model))
            gone_on: list[bool] = []
            if last is not None:
                gone_on = stack.enter_context(last.at(filled, len(rows), inputs["input_ids"].shape))
            if body is not None:
                stack.enter_context(_gathered(body, filled, gone_on))
            output = (
                self._model(**inputs)
                if weights is None
                else functional_call(self._model, weights, kwargs=inputs)
            )
        logits = output.logits.flatten(0, 1)
        logits = logits[rows] if body is None else logits[: len(rows)]
        router = getattr(output, "aux_loss", None)
        return logits.float(), router if isinstance(router, Tensor) else None

    def _two_texts(self) -> tuple[dict[str, Any], Tensor]:
        """Return the arguments of two short texts to try with, and some rows of them, ``[N]``."""
        device = next(self._model.parameters()).device
        ids = probe_ids(self._model, 2, 6).to(device)
        positions = torch.arange(6, device=device).expand(2, 6)
        inputs = self._isolation.inputs(ids, positions, torch.zeros_like(ids))
        return inputs, torch.tensor([2, 6, 11], device=device)

    @torch.no_grad()
    def _probe(self) -> nn.Module | None:
        """Find the module before the head that gathers with the same result, None if none does."""
        inputs, rows = self._two_texts()
        with in_mode(self._model, training=False), restored(self._model):
            full, _ = self._forward(None, inputs, rows)
            for body in bodies(self._model):
                try:
                    logits, _ = self._forward(body, inputs, rows)
                except REFUSALS:
                    continue  # the head wants the whole sequence, or takes it from elsewhere
                if _same(logits, full):
                    return body
        return None

    @torch.no_grad()
    def _probe_last_layer(self, body: nn.Module) -> LastLayer | None:
        """Return the part of the last layer at some positions with the same result, if any has."""
        inputs, rows = self._two_texts()
        with in_mode(self._model, training=False), restored(self._model):
            for last in parts_of_last_layer(body):
                weights = last.shaken_weights(self._model)
                try:
                    full, _ = self._forward(body, inputs, rows, weights=weights)
                    logits, _ = self._forward(body, inputs, rows, last, weights=weights)
                except REFUSALS:
                    continue
                if _same(logits, full) and last.has_taken_rows:
                    return last
        return None

    @torch.no_grad()
    def _probe_head(self, body: nn.Module) -> PlainHead | None:
        """Return the head if the logits are what its linear layer answers, None if they are not.

        An answer that is made up, with large numbers, has to come out as it is, and what the layer
        is given has to pass through; so a cap, a scale or a cut would show, and what learned
        functions of the hidden states lie before the layer does not matter.
        """
        head = plain_head(self._model)
        if head is None:
            return None
        device = next(self._model.parameters()).device
        ids = probe_ids(self._model, 1, 6).to(device)
        positions, rows = torch.arange(6, device=device)[None], torch.tensor([2, 4], device=device)
        inputs = self._isolation.inputs(ids, positions, torch.zeros_like(ids))
        generator = torch.Generator().manual_seed(0)
        answer = 100 * torch.randn(1, len(rows), head.vocabulary, generator=generator)
        with in_mode(self._model, training=False), restored(self._model):
            try:
                with head.left_out(answer) as given:
                    logits, _ = self._forward(body, inputs, rows)
                with head.left_out() as passed:
                    hidden, _ = self._forward(body, inputs, rows)
                own = torch.equal(self._forward(body, inputs, rows)[0], head(given[0])[0])
            except (*REFUSALS, IndexError):  # as where the layer is not called at all
                return None
        is_plain = len(given) == len(passed) == 1 and torch.equal(logits, answer[0])
        return head if is_plain and own and torch.equal(hidden, passed[0][0]) else None


def _filled_rows(rows: Tensor) -> Tensor:
    """Return rows of a step, the first again behind them up to a multiple on a CPU in bfloat16.

    Its products are compiled for each number of rows, which takes a small model longer than they
    do, and the number of targets is another in each step. What is filled up is left out behind the
    head, so that it has no gradient.
    """
    is_step = torch.is_grad_enabled() and torch.is_autocast_enabled("cpu")
    if not is_step or rows.device.type != "cpu":
        return rows
    return torch.cat([rows, rows[:1].expand(-len(rows) % HEIGHT)])


def _same(logits: Tensor, full: Tensor) -> bool:
    return logits.shape == full.shape and torch.allclose(logits, full, 1e-4, 1e-4)


@contextmanager
def _gathered(body: nn.Module, rows: Tensor, gone_on: list[bool]) -> Iterator[None]:
    """Make a module return the hidden states of some positions alone.

    Args:
        body: The module.
        rows: These positions.
        gone_on: Has a member where the last layer has no others (`LastLayer.at`).
    """

    def gather(module: nn.Module, args: Any, output: Any) -> Any:
        if not gone_on:
            output.last_hidden_state = output[0].flatten(0, 1)[rows][None]
        return output

    handle = body.register_forward_hook(gather)
    try:
        yield
    finally:
        handle.remove()
