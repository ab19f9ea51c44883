"""Means that keep the documents packed into one row from seeing one another, found by trying.

- ``positions``: position ids that restart with each document. transformers then builds a causal
  mask that keeps them apart, but only with ``use_cache=False`` and without an attention mask; with
  its defaults it leaks without a word. For causal models only.
- ``mask``: an explicit block-diagonal mask ``[B, 1, T, T]`` beside those position ids. Where some
  layers look at a window only, each kind of layer gets its own.
- ``documents``: no mask at all; attention is computed document by document, for which a GPU has a
  kernel (`document_attention`).
- ``pad``: none of these works (state-space models, ALiBi, a mask that the model folds into two
  dimensions), so every row holds one document only.

A masked model looks at padding, too, which a mask ``[B, T]`` keeps from it. Where not even that
helps (Fourier transforms over the whole row), rows are computed in groups of one length.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from nextfill.config import Objective
from nextfill.models.architecture import (
    LONGEST_TEXT,
    first_position,
    long_text_lengths,
    max_positions,
    window_sizes,
    windows_by_kind,
)
from nextfill.models.computation import autocast, in_mode, probe_ids, restored, same_logits
from nextfill.models.documents.document_attention import (
    bounds_keywords,
    document_attention_in_use,
    takes_document_attention,
)
from nextfill.models.documents.document_mask import block_diagonal_mask
from nextfill.models.libraries import REFUSALS
from nextfill.objectives.batch import Batch

Kind = Literal["positions", "mask", "documents", "pad", "none"]

_LENGTHS = (5, 7, 6)
_TOLERANCE_IN_BF16 = 0.1
"""Rounding to 8 bits adds up over the layers; what a document sees of another is more."""

_LONGEST_WINDOW = 512
"""Attention windows up to this are reached by the probe's documents; longer ones take too long."""


@dataclass(frozen=True)
class Isolation:
    """The way that the rows of a batch are given to a model.

    Args:
        kind: The means that keeps packed documents apart; ``none`` lets them see one another.
        objective: ``masked`` models look both ways, and so at padding.
        first_position: Position of a document's first token, if positions are given.
        windows: Reach of the attention, in tokens to either side, by the kind of layer; None for
            no limit. Empty where all layers take one mask.
        heeds_padding: Whether a mask ``[B, T]`` keeps a masked model from padding; else rows
            are computed in groups of one length.
        gives_positions: Whether the model takes positions in rows of one document, too. It gets
            them where a text begins with the pad token, from which it would count its own.
    """

    kind: Kind
    objective: Objective = "causal"
    first_position: int = 0
    windows: tuple[tuple[str, int | None], ...] = ()
    heeds_padding: bool = True
    gives_positions: bool = False

    def inputs(
        self,
        input_ids: Tensor,
        position_ids: Tensor,
        document_ids: Tensor,
        host: Batch | None = None,
    ) -> dict[str, Any]:
        """Return the arguments for a model's forward.

        Args:
            input_ids: ``[B, T] int64``.
            position_ids: ``[B, T] int64``, from 0, restarting with each document.
            document_ids: ``[B, T] int64``, -1 on padding.
            host: The same batch on the host, if it is there, so that none waits for the device.

        Returns:
            Keyword arguments. Padding comes at the right, where causal attention cannot reach it
            from a target, so that it needs a mask in masked models alone. Its tokens are those
            that the rows begin with: a padding token has an embedding that nothing trains, and
            where that is all zero, Gemma 3n's gradient is no number.
        """
        input_ids = input_ids.where(document_ids >= 0, input_ids[:, :1])
        inputs: dict[str, Any] = {"input_ids": input_ids}
        causal = self.objective == "causal"
        if causal:
            inputs["use_cache"] = False
        if self.kind in ("positions", "mask", "documents") or self._begins_with_padding(
            input_ids if host is None else host.input_ids
        ):
            inputs["position_ids"] = position_ids + self.first_position
        if self.kind == "mask":
            inputs["attention_mask"] = self._mask(document_ids)
        elif self.kind == "documents":
            numbers = document_ids.cpu().numpy() if host is None else host.document_ids
            inputs |= bounds_keywords(numbers, document_ids.device)
        elif not causal and self.heeds_padding:
            inputs["attention_mask"] = (document_ids >= 0).long()
        return inputs

    def attention(self, model: nn.Module) -> AbstractContextManager[None]:
        """Return the context in which a model computes with these arguments."""
        return document_attention_in_use(model) if self.kind == "documents" else nullcontext()

    def _begins_with_padding(self, input_ids: Tensor | NDArray[np.int64]) -> bool:
        # Within a text transformers' own count leaves the pad token out, as its pipelines do.
        pad_id = self.first_position - 1
        return self.gives_positions and bool((input_ids[:, 0] == pad_id).any())

    def _mask(self, document_ids: Tensor) -> Tensor | dict[str, Tensor]:
        causal = self.objective == "causal"
        if not self.windows:
            return block_diagonal_mask(document_ids, causal=causal)
        return {
            kind: block_diagonal_mask(document_ids, causal=causal, window=window)
            for kind, window in self.windows
        }


@torch.no_grad()
def probe_isolation(
    model: nn.Module,
    objective: Objective = "causal",
    *,
    longest: int | None = None,
    by_documents: bool = False,
) -> Isolation:
    """Find the cheapest isolation that gives every packed document the logits it has alone.

    The model is in float32, and rows have ``longest`` tokens at most, if that is known. Attention
    document by document is tried first on request, which is cheap with the kernel of a GPU alone.
    """
    plain = Isolation("pad", objective, first_position(model))
    ways = [replace(plain, kind="documents")] if by_documents else []
    # Windows and changes that are too long to be tried may be a mask's alone.
    untried = {size for size in window_sizes(model) if size > _LONGEST_WINDOW}
    if _exceeds(longest, untried | _untried_lengths(model)) or not takes_document_attention(model):
        ways = []
    for isolation in [*ways, *_ways(model, plain, longest)]:
        if _holds(model, isolation, packed=True) and (
            isolation.kind != "documents" or _holds(model, isolation, packed=True, in_bf16=True)
        ):
            return isolation
    return padding_isolation(model, objective, longest=longest)


def _ways(model: nn.Module, plain: Isolation, longest: int | None) -> Iterator[Isolation]:
    """Yield the means that may keep documents apart, the cheapest first.

    A mask is ours, and so it is tried with documents that reach past every window. Where that
    takes too long, it is given to models that take one mask for each kind of layer, and others are
    packed only if they make their own of the positions.
    """
    far = {size for size in window_sizes(model) if size > _LONGEST_WINDOW}
    long = _untried_lengths(model)
    if plain.objective == "causal" and not _exceeds(longest, long):
        yield replace(plain, kind="positions")
    windows = _reaches(model, plain.objective)
    if not _exceeds(longest, long if windows else far | long):
        # One mask for all would let layers that look at a window see the whole document.
        yield replace(plain, kind="mask", windows=windows)


def _untried_lengths(model: nn.Module) -> set[int]:
    """Return the lengths that change how a text is looked at and are too long to be tried."""
    return {length for length in long_text_lengths(model) if length > LONGEST_TEXT}


def _exceeds(longest: int | None, lengths: set[int]) -> bool:
    """Return whether rows may be longer than some of these lengths; None for any length."""
    return any(longest is None or longest > length for length in lengths)


def _reaches(model: nn.Module, objective: Objective) -> tuple[tuple[str, int | None], ...]:
    """Return the reach to either side of each kind of layer; a causal window counts the token."""
    itself = 1 if objective == "causal" else 0
    return tuple(
        (kind, None if size is None else size - itself) for kind, size in windows_by_kind(model)
    )


@torch.no_grad()
def padding_isolation(
    model: nn.Module,
    objective: Objective,
    kind: Literal["pad", "none"] = "pad",
    *,
    longest: int | None = None,
) -> Isolation:
    """Return the isolation of rows of one document, or of several that may see one another."""
    isolation = Isolation(
        kind, objective, first_position(model), gives_positions=_takes_positions(model, objective)
    )
    untried = _exceeds(longest, _untried_lengths(model))
    # One that refuses a short text alone: causal attention cannot reach the padding behind it.
    heeds = not untried and _holds(model, isolation, packed=False, refused=objective == "causal")
    return replace(isolation, heeds_padding=heeds)


def stated_isolation(model: nn.Module | None, objective: Objective, kind: Kind) -> Isolation:
    """Return the isolation that the user says will do, with a model's positions and windows."""
    if model is None:
        return Isolation(kind, objective)
    windows = _reaches(model, objective) if kind == "mask" else ()
    gives = _takes_positions(model, objective)
    return Isolation(kind, objective, first_position(model), windows, gives_positions=gives)


def _takes_positions(model: nn.Module, objective: Objective) -> bool:
    """Return whether a model that counts positions from its pad token takes them instead.

    A text that begins with that token would have other positions alone than in a packed row.
    """
    if not first_position(model):
        return False
    given = Isolation("positions", objective, first_position(model))
    return _holds(model, given, packed=False, batched=False)


def _holds(
    model: nn.Module,
    isolation: Isolation,
    *,
    packed: bool,
    refused: bool = False,
    batched: bool = True,
    in_bf16: bool = False,
) -> bool:
    """Return whether documents in one row, or rows in one batch, have the logits they have alone.

    A model that refuses such a batch gives ``refused``. Unbatched, it is one row. In bfloat16 the
    kernel of a GPU is tried, whose rounding is another.
    """
    device = next(model.parameters()).device
    documents = _documents(model, isolation)
    documents = documents if batched else documents[:1]
    try:
        with (
            in_mode(model, training=False),
            restored(model),
            autocast(device, "bf16" if in_bf16 else "fp32"),
        ):
            tolerance = _TOLERANCE_IN_BF16 if in_bf16 else None
            return _is_as_alone(model, isolation, documents, tolerance, packed=packed)
    except REFUSALS:
        return refused


def _is_as_alone(
    model: nn.Module,
    isolation: Isolation,
    documents: list[Tensor],
    tolerance: float | None,
    *,
    packed: bool,
) -> bool:
    device = next(model.parameters()).device
    plain = {"use_cache": False} if isolation.objective == "causal" else {}
    alone = []
    for document in documents:
        with restored(model):  # each as the first that the model is given
            alone.append(model(input_ids=document.to(device), **plain).logits[0])
    parts = (
        [document[0] for document in documents],
        [torch.arange(document.shape[1]) for document in documents],
        [torch.full_like(document[0], number) for number, document in enumerate(documents)],
    )
    if packed:
        batch = [torch.cat(part)[None] for part in parts]
    else:
        batch = [
            pad_sequence(part, batch_first=True, padding_value=padding)
            for part, padding in zip(parts, (0, 0, -1), strict=True)
        ]
    ids, positions, numbers = (part.to(device) for part in batch)
    with isolation.attention(model):
        together = model(**isolation.inputs(ids, positions, numbers)).logits
    pair = together[numbers >= 0].float(), torch.cat(alone).float()
    return same_logits(*pair) if tolerance is None else same_logits(*pair, tolerance)


def _documents(model: nn.Module, isolation: Isolation) -> list[Tensor]:
    """Return a few random documents, ``[1, n] int64`` each; one reaches as far as it matters.

    That one does not come first, so that in a packed row its positions are not the row's own.
    """
    reached = {length for length in long_text_lengths(model) if length <= LONGEST_TEXT}
    if isolation.kind in ("mask", "documents"):
        reached |= {size for size in window_sizes(model) if size <= _LONGEST_WINDOW}
    limit = max_positions(model) or LONGEST_TEXT * 2
    long = min(max([_LENGTHS[1], *(length + 5 for length in reached)]), limit)
    lengths = [_LENGTHS[0], long, _LENGTHS[2], *([long * 2 // 3] if reached else [])]
    return [probe_ids(model, 1, length) for length in lengths]
