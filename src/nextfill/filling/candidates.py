"""Candidates for blanks: the likeliest tokens for a mask, and answers of several tokens."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nextfill.config import Precision
from nextfill.core.amounts import amount
from nextfill.core.errors import ModelError, NextfillError
from nextfill.filling.blanks import Blanks
from nextfill.models.computation import autocast
from nextfill.models.documents.isolation import padding_isolation
from nextfill.models.inference.mask_encoder import EncoderParts, mask_logits
from nextfill.models.loaded_model import LoadedModel
from nextfill.models.row_logits import RowLogits

Candidate = tuple[float, int]
"""A token for a mask: its log-probability over the whole vocabulary, in nats, and its id."""

Span = tuple[float, tuple[int, ...]]
"""An answer: the mean log-probability of its tokens, in nats, and their ids."""

_MOST_MASKS = 1024
"""Masks of a batch, each of which costs a row as wide as the vocabulary; a text may have more."""


@dataclass(frozen=True)
class Masked:
    """A text in tokens, some of them masks.

    Args:
        ids: Its token ids.
        places: Positions of the masks that need candidates.
        allowed: For each of them the ids to choose from; None for all.
    """

    ids: tuple[int, ...]
    places: tuple[int, ...]
    allowed: tuple[tuple[int, ...] | None, ...]


class Candidates:
    """Finds the likeliest tokens, with a masked model in evaluation mode.

    Texts share batches of ``batch_size`` at most, which changes nothing but the time.

    Args:
        loaded: The model.
        precision: Of its products.
        batch_size: Texts of a batch.
        encoder: The model in parts, where it is of a layout that is known.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        precision: Precision,
        batch_size: int,
        encoder: EncoderParts | None = None,
    ) -> None:
        self.loaded = loaded
        self._encoder = encoder
        self._precision = precision
        self._batch_size = batch_size
        self._pads = True
        if encoder is None:
            isolation = padding_isolation(loaded.model, "masked")
            self._logits = RowLogits(loaded.model, isolation)
            self._pads = isolation.heeds_padding

    def __call__(self, texts: Sequence[Masked], count: int) -> list[list[list[Candidate]]]:
        """Return for each text and each of its places so many tokens, likeliest first."""
        by_text: list[list[list[Candidate]]] = [[] for _ in texts]
        # Around all batches, so that the weights are cast to bfloat16 once.
        with autocast(self.loaded.device, self._precision):
            for numbers in self._batches(texts):
                batch = [texts[number] for number in numbers]
                for number, candidates in zip(numbers, self._of_batch(batch, count), strict=True):
                    by_text[number] = candidates
        return by_text

    def _batches(self, texts: Sequence[Masked]) -> Iterator[list[int]]:
        """Yield the numbers of the texts of each batch, longest first."""
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
        try:
            with torch.no_grad():
                each = iter(self._logits_of(batch).log_softmax(dim=-1))
        except torch.OutOfMemoryError as error:
            raise NextfillError(
                f"{amount(len(batch), 'text')} at once: too much for the memory of {device}. "
                "Give a "
                "smaller --fill-batch-size, or shorter texts."
            ) from error
        return [[self._best(next(each), allowed, count) for allowed in t.allowed] for t in batch]

    def _logits_of(self, batch: Sequence[Masked]) -> Tensor:
        """Return the logits at the places of each text, ``[places, V] float32``."""
        if self._encoder is not None:
            texts, places = [text.ids for text in batch], [text.places for text in batch]
            return mask_logits(self._encoder, texts, places)
        device = self.loaded.device
        width = len(batch[0].ids)
        ids = torch.full((len(batch), width), self.loaded.pad_id)
        documents = torch.full((len(batch), width), -1)
        for number, text in enumerate(batch):
            ids[number, : len(text.ids)] = torch.tensor(text.ids)
            documents[number, : len(text.ids)] = 0
        positions = torch.arange(width, device=device).expand(len(batch), width)
        rows = [n * width + place for n, text in enumerate(batch) for place in text.places]
        with autocast(device, self._precision):
            return self._logits(
                ids.to(device), positions, documents.to(device), torch.tensor(rows, device=device)
            )

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


@dataclass(frozen=True)
class _Beam:
    """An answer in the making: None for each mask left."""

    tokens: tuple[int | None, ...]
    nats: float = 0.0

    @property
    def left(self) -> list[int]:
        return [at for at, token in enumerate(self.tokens) if token is None]


def find_spans(
    candidates: Candidates,
    blanks: Sequence[tuple[Blanks, int]],
    *,
    top_k: int,
    answer_tokens: int,
) -> list[list[Span]]:
    """Search the likeliest answers of some tokens at most for each blank, a text and its number.

    For each length up to the longest, the blank becomes that many masks; the other blanks stay one
    mask each. The model is asked about all masks of every beam, and the one that it is surest of is
    filled, in as many ways as there are beams; the likeliest of all ways are the next beams.
    Lengths are compared by the mean log-probability of a token, each taken when it was filled.
    Answers come likeliest first; those of several tokens have no special ones.

    Source:
        Jiang et al. 2020, X-FACTR, section 4: confidence order and its choice of a length. We keep
        several beams where it keeps one, and leave out its second pass over the filled tokens.
    """
    answers: list[list[Span]] = [[] for _ in blanks]
    for length in range(1, answer_tokens + 1):
        for spans, beams in zip(answers, _search(candidates, blanks, length, top_k), strict=True):
            for beam in beams:
                tokens = tuple(token for token in beam.tokens if token is not None)
                spans.append((beam.nats / length, tokens))
    return [heapq.nlargest(top_k, spans, key=lambda span: span[0]) for spans in answers]


def _search(
    candidates: Candidates, blanks: Sequence[tuple[Blanks, int]], length: int, top_k: int
) -> list[list[_Beam]]:
    special = set(candidates.loaded.tokenizer.all_special_ids) if length > 1 else set()
    beams = [[_Beam((None,) * length)] for _ in blanks]
    for _ in range(length):
        rows = [
            _masked(candidates, text, number, beam)
            for (text, number), some in zip(blanks, beams, strict=True)
            for beam in some
        ]
        options = iter(candidates(rows, top_k + len(special)))
        # No two ways are alike: beams that part do so in the mask that both were surest of.
        ways = [
            [way for beam in some for way in _ways(beam, next(options), special)] for some in beams
        ]
        beams = [heapq.nlargest(top_k, some, key=lambda way: way.nats) for some in ways]
    return beams


def _masked(candidates: Candidates, text: Blanks, number: int, beam: _Beam) -> Masked:
    mask = candidates.loaded.tokenizer.mask_token_id
    at = text.places[number]
    inner = [mask if token is None else token for token in beam.tokens]
    places = tuple(at + left for left in beam.left)
    return Masked((*text.ids[:at], *inner, *text.ids[at + 1 :]), places, (None,) * len(places))


def _ways(beam: _Beam, options: Sequence[Sequence[Candidate]], special: set[int]) -> list[_Beam]:
    """Return a beam with its surest mask filled, in every way."""
    allowed = [[option for option in mask if option[1] not in special] for mask in options]
    surest = max(range(len(allowed)), key=lambda n: allowed[n][0][0])
    at = beam.left[surest]
    return [
        _Beam((*beam.tokens[:at], token, *beam.tokens[at + 1 :]), beam.nats + nats)
        for nats, token in allowed[surest]
    ]
