"""Fill the blanks of texts with a masked model, in the shape of transformers' fill-mask pipeline.

A text's answers depend on the model, the text and the settings, not on what else is in the batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from nextfill.config import FillConfig, FillingConfig, Precision
from nextfill.config.model_settings import NOTHING_LIVE, Live
from nextfill.core.errors import ConfigError
from nextfill.filling.beams import Span, find_spans
from nextfill.filling.blanks import BLANK, Blanks, check_blanks, encode_blanks, filled_text
from nextfill.filling.candidates import Candidates, Masked
from nextfill.filling.target_words import target_ids
from nextfill.generation.prompts import PromptText, name_prompts
from nextfill.models.architecture import embedding_rows
from nextfill.models.device import pick_device, pick_precision, tune_allocator
from nextfill.models.load import load_model
from nextfill.models.loaded_model import LoadedModel

__all__ = ["BLANK", "Answer", "Filled", "Filler", "check_blanks", "fill_blanks", "open_filler"]

Answer = dict[str, Any]
"""``score``, ``token``, ``token_str`` and ``sequence``, as transformers' pipeline has them.

Where answers may have several tokens, ``token`` is a list of ids, and ``score`` the geometric mean
of their probabilities.
"""

BATCHES_AT_ONCE = 8
"""Batches whose texts are sorted by length together: more pad less, and keep results waiting."""


@dataclass(frozen=True)
class Filled:
    """A text and the answers for its blanks.

    Args:
        blanks: The text.
        answers: For each blank its answers, likeliest first.
    """

    blanks: Blanks
    answers: tuple[list[Answer], ...]

    @property
    def plain(self) -> list[Any]:
        """The answers of the only blank, or a list of such lists, as the pipeline returns them."""
        return self.answers[0] if len(self.answers) == 1 else list(self.answers)


@dataclass(frozen=True)
class Filler:
    """A model that is loaded once and fills the blanks of any number of texts.

    Args:
        loaded: A masked model and its tokenizer.
        filling: How many answers, and of what kind.
        precision: ``fp32`` or ``bf16``.
    """

    loaded: LoadedModel
    filling: FillingConfig
    precision: Precision

    def fill(
        self,
        texts: Sequence[PromptText],
        *,
        on_progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> Iterator[Filled]:
        """Fill the blanks of texts, all of which are checked before the first is filled."""
        _check_top_k(self.loaded, self.filling)
        blanks = encode_blanks(self.loaded, texts, self.filling.answer_tokens)
        spaced = sorted({after for text in blanks for after in text.after_space}, reverse=True)
        allowed = {
            after: target_ids(self.loaded.tokenizer, self.filling.targets, after_space=after)
            for after in spaced
        }
        return self._fill(blanks, allowed, on_progress)

    def _fill(
        self,
        blanks: Sequence[Blanks],
        allowed: dict[bool, tuple[int, ...] | None],
        on_progress: Callable[[int, int], None],
    ) -> Iterator[Filled]:
        model, size = self.loaded.model, self.filling.fill_batch_size
        at_once = size * (BATCHES_AT_ONCE if self.filling.answer_tokens == 1 else 1)
        was_training = model.training
        model.eval()
        try:
            candidates = Candidates(self.loaded, self.precision, size)
            for first in range(0, len(blanks), at_once):
                some = blanks[first : first + at_once]
                if self.filling.answer_tokens == 1:
                    found = self._of_one_token(candidates, some, allowed)
                else:
                    found = self._of_several(candidates, some)
                on_progress(first + len(some), len(blanks))
                yield from map(self._filled, some, found)
        finally:
            model.train(was_training)

    def _of_one_token(
        self,
        candidates: Candidates,
        blanks: Sequence[Blanks],
        allowed: dict[bool, tuple[int, ...] | None],
    ) -> list[list[list[Span]]]:
        asked = [
            Masked(text.ids, text.places, tuple(allowed[after] for after in text.after_space))
            for text in blanks
        ]
        return [
            [[(nats, (token,)) for nats, token in mask] for mask in masks]
            for masks in candidates(asked, self.filling.top_k)
        ]

    def _of_several(
        self, candidates: Candidates, blanks: Sequence[Blanks]
    ) -> list[list[list[Span]]]:
        asked = [(text, number) for text in blanks for number in range(len(text.places))]
        top_k, longest = self.filling.top_k, self.filling.answer_tokens
        spans = iter(find_spans(candidates, asked, top_k=top_k, answer_tokens=longest))
        return [[next(spans) for _ in text.places] for text in blanks]

    def _filled(self, text: Blanks, found: Sequence[Sequence[Span]]) -> Filled:
        answers = [[self._answer(text, n, span) for span in some] for n, some in enumerate(found)]
        return Filled(text, tuple(answers))

    def _answer(self, text: Blanks, number: int, span: Span) -> Answer:
        """Say what an answer is; other blanks keep their masks in its sequence."""
        tokenizer, at = self.loaded.tokenizer, text.places[number]
        mean_nats, tokens = span
        ids = [*text.ids[:at], *tokens, *text.ids[at + 1 :]]
        ids = [token for token in ids if token != tokenizer.pad_token_id]
        alone = len(text.places) == 1
        return {
            "score": math.exp(mean_nats),
            "token": tokens[0] if self.filling.answer_tokens == 1 else list(tokens),
            "token_str": tokenizer.decode(list(tokens)),
            "sequence": tokenizer.decode(ids, skip_special_tokens=alone),
        }


def fill_blanks(loaded: LoadedModel, texts: Sequence[str]) -> list[str]:
    """Fill every blank with the token that the model finds likeliest there."""
    filler = Filler(loaded, FillingConfig(top_k=1), "fp32")
    return [
        filled_text(filled.blanks, [answers[0]["token_str"] for answers in filled.answers])
        for filled in filler.fill(name_prompts(texts))
    ]


def open_filler(config: FillConfig, live: Live = NOTHING_LIVE) -> Filler:
    """Load a model to fill blanks with."""
    tune_allocator()
    device = pick_device(config.device, live.model)
    precision = pick_precision(config.precision, device)
    loaded = load_model(config.model, "masked", live=live)
    loaded.model.to(device)
    return Filler(loaded, config.filling, precision)


def _check_top_k(loaded: LoadedModel, filling: FillingConfig) -> None:
    entries = embedding_rows(loaded.model)
    if filling.top_k > entries and not filling.targets:
        raise ConfigError(
            [
                f"--top-k {filling.top_k} is above the {entries:,} entries of the vocabulary of "
                f"{loaded.name}: give at most {entries}."
            ]
        )
