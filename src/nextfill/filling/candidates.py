"""The likeliest tokens for masks, computed in batches that change nothing but the time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nextfill.config import Precision
from nextfill.core.errors import ModelError, NextfillError
from nextfill.models.computation import autocast
from nextfill.models.isolation import padding_isolation
from nextfill.models.loaded_model import LoadedModel
from nextfill.models.step import RowLogits

Candidate = tuple[float, int]
"""A token for a mask: its log-probability over the whole vocabulary, in nats, and its id."""

_MOST_MASKS = 1024
"""Masks of a batch, each of which costs a row as wide as the vocabulary; a text may have more."""


@dataclass(frozen=True)
class Masked:
    """A text in tokens, some of them masks.

    Args:
        ids: Its token ids.
        places: The masks that are asked about.
        allowed: For each of them the ids that count; None for all.
    """

    ids: tuple[int, ...]
    places: tuple[int, ...]
    allowed: tuple[tuple[int, ...] | None, ...]


class Candidates:
    """Finds the likeliest tokens.

    Args:
        loaded: A masked model in evaluation mode, and its tokenizer.
        precision: ``fp32`` or ``bf16``.
        batch_size: Texts computed at once.
    """

    def __init__(self, loaded: LoadedModel, precision: Precision, batch_size: int) -> None:
        isolation = padding_isolation(loaded.model, "masked")
        self.loaded = loaded
        self._logits = RowLogits(loaded.model, isolation)
        self._precision = precision
        self._batch_size = batch_size
        self._pads = isolation.heeds_padding

    def __call__(self, texts: Sequence[Masked], count: int) -> list[list[list[Candidate]]]:
        """Find the likeliest tokens of each mask that is asked about."""
        found: list[list[list[Candidate]]] = [[] for _ in texts]
        for numbers in self._batches(texts):
            batch = [texts[number] for number in numbers]
            for number, candidates in zip(numbers, self._of_batch(batch, count), strict=True):
                found[number] = candidates
        return found

    def _batches(self, texts: Sequence[Masked]) -> Iterator[list[int]]:
        """Yield the numbers of texts that are computed together, longest first."""
        batch: list[int] = []
        masks = 0
        for number in sorted(range(len(texts)), key=lambda n: -len(texts[n].ids)):
            text = texts[number]
            other_length = batch and len(text.ids) != len(texts[batch[0]].ids)
            full = len(batch) == self._batch_size or masks + len(text.places) > _MOST_MASKS
            if batch and (full or (other_length and not self._pads)):
                yield batch
                batch, masks = [], 0
            batch.append(number)
            masks += len(text.places)
        if batch:
            yield batch

    def _of_batch(self, batch: Sequence[Masked], count: int) -> list[list[list[Candidate]]]:
        device = self.loaded.device
        width = len(batch[0].ids)
        ids = torch.full((len(batch), width), self.loaded.pad_id)
        documents = torch.full((len(batch), width), -1)
        for number, text in enumerate(batch):
            ids[number, : len(text.ids)] = torch.tensor(text.ids)
            documents[number, : len(text.ids)] = 0
        positions = torch.arange(width, device=device).expand(len(batch), width)
        rows = [n * width + place for n, text in enumerate(batch) for place in text.places]
        try:
            with torch.no_grad(), autocast(device, self._precision):
                logits = self._logits(
                    ids.to(device),
                    positions,
                    documents.to(device),
                    torch.tensor(rows, device=device),
                )
            each = iter(logits.log_softmax(dim=-1))
        except torch.OutOfMemoryError as error:
            raise NextfillError(
                f"{len(batch)} texts at once do not fit into the memory of {device}: give a "
                "smaller --fill-batch-size, or shorter texts."
            ) from error
        return [[self._best(next(each), allowed, count) for allowed in t.allowed] for t in batch]

    def _best(self, nats: Tensor, allowed: tuple[int, ...] | None, count: int) -> list[Candidate]:
        if allowed is not None:
            nats = nats[torch.tensor(allowed, device=nats.device)]
        values, places = nats.topk(min(count, len(nats)))
        if values.isnan().any():
            raise ModelError(f"{self.loaded.name} gives no numbers (nan): its weights are damaged.")
        tokens = places.tolist()
        if allowed is not None:
            tokens = [allowed[place] for place in tokens]
        return list(zip(values.tolist(), tokens, strict=True))
