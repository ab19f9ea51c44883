"""Keep the documents packed into one row from seeing one another.

Which means works depends on the model, so it is found by trying: two documents in one row must
give the logits that each gives alone. Tried in turn, cheapest first:

- ``positions``: position ids that restart with each document. transformers then builds a causal
  mask that keeps them apart, but only with ``use_cache=False`` and without an attention mask; with
  its defaults it leaks without a word. For causal models only.
- ``mask``: an explicit block-diagonal mask ``[B, 1, T, T]`` beside those position ids, causal or
  not as the model is. Where some layers look at a window only, each kind of layer gets its own.
- ``pad``: neither works (state-space models, ALiBi, a mask that the model folds into two
  dimensions), so every row holds one document only.

A masked model looks both ways and so at padding, too, which a mask ``[B, T]`` keeps from it. Where
not even that helps (Fourier transforms over the whole row), rows are computed in groups of one
length, without padding.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from nextfill.config import Objective
from nextfill.models.shape import embedding_rows, first_position, max_positions

Kind = Literal["positions", "mask", "pad", "none"]

REFUSALS = (
    TypeError,
    ValueError,
    RuntimeError,
    IndexError,
    AttributeError,
    KeyError,
    AssertionError,
)
"""What a model answers with to arguments that it does not take."""

_TOLERANCE = 1e-4
"""Largest difference of a logit, relative to the largest logit, that still counts as equal."""

_LENGTHS = (7, 5)
_LONGEST_WINDOW = 512
"""Attention windows up to this are reached by the probe's documents; longer ones take too long."""


@dataclass(frozen=True)
class Isolation:
    """How the rows of a batch are given to a model.

    Args:
        kind: What keeps packed documents apart; ``none`` lets them see one another.
        objective: ``masked`` models look both ways, and so at padding.
        first_position: Of a document's first token, where positions are given.
        windows: Reach of the attention, in tokens to either side, by the kind of layer; None for
            no limit. Empty where all layers take one mask.
        heeds_padding: Whether a mask ``[B, T]`` keeps a masked model from padding; else rows
            are computed in groups of one length.
    """

    kind: Kind
    objective: Objective = "causal"
    first_position: int = 0
    windows: tuple[tuple[str, int | None], ...] = ()
    heeds_padding: bool = True

    def inputs(
        self, input_ids: Tensor, position_ids: Tensor, document_ids: Tensor
    ) -> dict[str, Any]:
        """Return the arguments for a model's forward.

        Args:
            input_ids: ``[B, T] int64``.
            position_ids: ``[B, T] int64``, from 0, restarting with each document.
            document_ids: ``[B, T] int64``, -1 on padding.

        Returns:
            Keyword arguments. Padding stands at the right, where causal attention cannot reach it
            from a target, so that it needs a mask in masked models alone.
        """
        inputs: dict[str, Any] = {"input_ids": input_ids}
        causal = self.objective == "causal"
        if causal:
            inputs["use_cache"] = False
        if self.kind in ("positions", "mask"):
            inputs["position_ids"] = position_ids + self.first_position
        if self.kind == "mask":
            inputs["attention_mask"] = self._mask(document_ids)
        elif not causal and self.heeds_padding:
            inputs["attention_mask"] = (document_ids >= 0).long()
        return inputs

    def _mask(self, document_ids: Tensor) -> Tensor | dict[str, Tensor]:
        causal = self.objective == "causal"
        if not self.windows:
            return block_diagonal_mask(document_ids, causal=causal)
        return {
            kind: block_diagonal_mask(document_ids, causal=causal, window=window)
            for kind, window in self.windows
        }


def block_diagonal_mask(
    document_ids: Tensor, *, causal: bool = True, window: int | None = None
) -> Tensor:
    """Return the additive mask within documents.

    Args:
        document_ids: ``[B, T] int64``.
        causal: A position looks back only.
        window: Tokens to either side that it reaches; None for all.

    Returns:
        ``[B, 1, T, T] float32``: 0 where a position may look, the least float elsewhere.
    """
    allowed = document_ids[:, :, None] == document_ids[:, None, :]
    if causal:
        allowed = allowed.tril()
    if window is not None:
        allowed = allowed.triu(-window).tril(window)
    mask = torch.zeros(allowed.shape, dtype=torch.float32, device=document_ids.device)
    return mask.masked_fill_(~allowed, torch.finfo(torch.float32).min)[:, None]


@torch.no_grad()
def probe_isolation(model: nn.Module, objective: Objective = "causal") -> Isolation:
    """Find what keeps packed documents apart in this model.

    Args:
        model: A model in float32; it is put into evaluation mode for the probe.
        objective: What it is for.

    Returns:
        The cheapest means that gives every document the logits it has alone.
    """
    was_training = model.training
    model.eval()
    plain = Isolation("pad", objective, first_position(model))
    kinds: tuple[Kind, ...] = ("positions", "mask") if objective == "causal" else ("mask",)
    # One mask for all would let layers that look at a window see the whole document.
    windows = _windows(model) if objective == "masked" else ()
    tries = [replace(plain, kind=kind, windows=windows) for kind in kinds]
    try:
        for isolation in tries:
            if _holds(model, isolation, packed=True):
                return isolation
        return padding_isolation(model, objective)
    finally:
        model.train(was_training)


@torch.no_grad()
def padding_isolation(
    model: nn.Module, objective: Objective, kind: Literal["pad", "none"] = "pad"
) -> Isolation:
    """Return how rows of one document each are given to a model.

    Args:
        model: A model in float32.
        objective: What it is for; the padding of a causal model needs no probe.
        kind: ``none`` for rows of several documents that may see one another.
    """
    isolation = Isolation(kind, objective, first_position(model))
    if objective == "causal":
        return isolation
    was_training = model.training
    model.eval()
    try:
        return replace(isolation, heeds_padding=_holds(model, isolation, packed=False))
    finally:
        model.train(was_training)


def stated_isolation(model: nn.Module | None, objective: Objective, kind: Kind) -> Isolation:
    """Return an isolation that the user says will do, without a probe.

    Args:
        model: Its positions and windows count, if it is there.
        objective: What it is for.
        kind: What keeps documents apart.
    """
    if model is None:
        return Isolation(kind, objective)
    windows = _windows(model) if objective == "masked" and kind == "mask" else ()
    return Isolation(kind, objective, first_position(model), windows)


def _holds(model: nn.Module, isolation: Isolation, *, packed: bool) -> bool:
    """Say whether documents in one row, or rows in one batch, give the logits they have alone."""
    documents = _documents(model)
    try:
        return _is_as_alone(model, isolation, documents, packed=packed)
    except REFUSALS:
        return False  # the model does not take these arguments at all


def _is_as_alone(
    model: nn.Module, isolation: Isolation, documents: list[Tensor], *, packed: bool
) -> bool:
    device = next(model.parameters()).device
    alone = [model(**_call(isolation, document.to(device))).logits[0] for document in documents]
    lengths = [document.shape[1] for document in documents]
    shape = (1, sum(lengths)) if packed else (len(lengths), max(lengths))
    ids, positions = torch.zeros(shape, dtype=torch.long), torch.zeros(shape, dtype=torch.long)
    numbers = torch.full(shape, -1)
    first = 0
    places = []
    for number, (document, length) in enumerate(zip(documents, lengths, strict=True)):
        row = 0 if packed else number
        place = (row, slice(first, first + length))
        ids[place], positions[place], numbers[place] = document[0], torch.arange(length), number
        places.append(place)
        first += length if packed else 0
    inputs = isolation.inputs(ids.to(device), positions.to(device), numbers.to(device))
    together = model(**inputs).logits
    found = torch.cat([together[place] for place in places])
    expected = torch.cat(alone)
    difference = (found - expected).abs().max()
    return bool(difference <= _TOLERANCE * expected.abs().max().clamp(min=1e-3))


def _call(isolation: Isolation, ids: Tensor) -> dict[str, Any]:
    """Return the plainest call of a model, by which the others are judged."""
    return {"input_ids": ids, **({"use_cache": False} if isolation.objective == "causal" else {})}


def _documents(model: nn.Module) -> list[Tensor]:
    """Return a few random documents, ``[1, n] int64`` each; the first reaches past a window."""
    windows = [size for _, size in _windows(model) if size is not None and size < _LONGEST_WINDOW]
    limit = max_positions(model) or _LONGEST_WINDOW * 2
    lengths = [min(max([_LENGTHS[0], *(size + 5 for size in windows)]), limit), _LENGTHS[1]]
    return [probe_ids(model, 1, length) for length in lengths]


def probe_ids(model: nn.Module, rows: int, length: int) -> Tensor:
    """Return random ids, ``[rows, length] int64``, on the CPU, for trying a model out.

    The pad token stays out of them: some models tell padding by it.
    """
    generator = torch.Generator().manual_seed(length)
    ids = torch.randint(0, embedding_rows(model), (rows, length), generator=generator)
    pad = getattr(getattr(model, "config", None), "pad_token_id", None)
    return ids if pad is None else ids.where(ids != pad, (pad + 1) % 3)


def _windows(model: nn.Module) -> tuple[tuple[str, int | None], ...]:
    """Return how far each kind of layer looks, for models that have several kinds."""
    kinds = getattr(model.config, "layer_types", None)
    window = getattr(model.config, "sliding_window", None)
    if not kinds or not isinstance(window, int) or window < 1:
        return ()
    return tuple((kind, window if "sliding" in kind else None) for kind in sorted(set(kinds)))
