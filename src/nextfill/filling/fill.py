"""Blanks of texts filled by a masked model, in the shape of transformers' fill-mask pipeline.

A text's answers depend on the model, the text and the settings, not on the rest of its batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from nextfill.config import FillConfig, FillingConfig, Precision
from nextfill.config.settings.model_settings import NOTHING_LIVE, Live
from nextfill.core.errors import ConfigError
from nextfill.filling.blanks import Blanks, encode_blanks, filled_text, target_ids
from nextfill.filling.candidates import Candidates, Masked, Span, find_spans
from nextfill.generation.prompts import PromptText, name_prompts
from nextfill.models.allocator import tune_allocator
from nextfill.models.architecture import embedding_rows
from nextfill.models.computation import in_mode, pick_device, pick_precision
from nextfill.models.inference.encoder_layouts import read_encoder
from nextfill.models.inference.mask_encoder import EncoderParts
from nextfill.models.load import load_model
from nextfill.models.loaded_model import LoadedModel
from nextfill.models.objective import objective_of_verb

Answer = dict[str, Any]
"""``score``, ``token``, ``token_str`` and ``sequence``, as transformers' pipeline has them.

Where answers may have several tokens, ``token`` is a list of ids, and ``score`` the geometric mean
of their probabilities.
"""

BATCHES_AT_ONCE = 8
"""Batches whose texts are sorted by length together: more pad less, and keep results waiting."""


@dataclass(frozen=True)
class Filled:
    """A text and, for each of its blanks, the answers, likeliest first."""

    blanks: Blanks
    answers: tuple[list[Answer], ...]

    @property
    def plain(self) -> list[Any]:
        """The answers of the only blank, or a list of such lists, as the pipeline returns them."""
        return self.answers[0] if len(self.answers) == 1 else list(self.answers)


@dataclass(frozen=True)
class Filler:
    """A masked model, loaded once, that fills the blanks of any number of texts.

    Args:
        encoder: The model in parts, by `read_encoder`; None where transformers computes it.
    """

    loaded: LoadedModel
    filling: FillingConfig
    precision: Precision
    encoder: EncoderParts | None = None

    def fill(
        self,
        texts: Sequence[PromptText],
        *,
        on_progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> Iterator[Filled]:
        """Check all texts at once, then return an iterator that fills their blanks."""
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
            candidates = Candidates(self.loaded, self.precision, size, self.encoder)
            for first in range(0, len(blanks), at_once):
                some = blanks[first : first + at_once]
                if self.filling.answer_tokens == 1:
                    spans = self._of_one_token(candidates, some, allowed)
                else:
                    spans = self._of_several(candidates, some)
                on_progress(first + len(some), len(blanks))
                yield from map(self._filled, some, spans)
        finally:
            model.train(was_training)

    def _of_one_token(
        self,
        candidates: Candidates,
        blanks: Sequence[Blanks],
        allowed: dict[bool, tuple[int, ...] | None],
    ) -> list[list[list[Span]]]:
        masked = [
            Masked(text.ids, text.places, tuple(allowed[after] for after in text.after_space))
            for text in blanks
        ]
        return [
            [[(nats, (token,)) for nats, token in mask] for mask in masks]
            for masks in candidates(masked, self.filling.top_k)
        ]

    def _of_several(
        self, candidates: Candidates, blanks: Sequence[Blanks]
    ) -> list[list[list[Span]]]:
        places = [(text, number) for text in blanks for number in range(len(text.places))]
        top_k, longest = self.filling.top_k, self.filling.answer_tokens
        spans = iter(find_spans(candidates, places, top_k=top_k, answer_tokens=longest))
        return [[next(spans) for _ in text.places] for text in blanks]

    def _filled(self, text: Blanks, spans: Sequence[Sequence[Span]]) -> Filled:
        answers = [[self._answer(text, n, span) for span in some] for n, some in enumerate(spans)]
        return Filled(text, tuple(answers))

    def _answer(self, text: Blanks, number: int, span: Span) -> Answer:
        """Return an answer for one blank; the others keep their masks in its sequence."""
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
    """Return texts with the likeliest token for each blank, the others masked, in brackets."""
    filler = Filler(loaded, FillingConfig(top_k=1), "fp32")
    return [
        filled_text(filled.blanks, [answers[0]["token_str"] for answers in filled.answers])
        for filled in filler.fill(name_prompts(texts))
    ]


def answer_lines(prompt: PromptText, filled: Filled) -> Iterator[dict[str, Any]]:
    """Yield each answer of a text as a line of a file."""
    for blank, answers in enumerate(filled.answers):
        for number, answer in enumerate(answers):
            yield {"blank": blank, "answer": number, "prompt": prompt.text, **answer}


def open_filler(config: FillConfig, live: Live = NOTHING_LIVE) -> Filler:
    """Load a masked model onto its device."""
    tune_allocator()
    device = pick_device(config.device, live.model)
    precision = pick_precision(config.precision, device)
    with objective_of_verb():
        loaded = load_model(config.model, "masked", live=live)
    loaded.model.to(device)
    return filler_of(loaded, config.filling, precision)


def filler_of(loaded: LoadedModel, filling: FillingConfig, precision: Precision) -> Filler:
    """Return a filler of a model whose weights stay as they are, read once in parts."""
    with in_mode(loaded.model, training=False):
        encoder = read_encoder(loaded.model, "bf16" if precision == "bf16" else "fp32")
    return Filler(loaded, filling, precision, encoder)


def _check_top_k(loaded: LoadedModel, filling: FillingConfig) -> None:
    entries = embedding_rows(loaded.model)
    if filling.top_k > entries and not filling.targets:
        raise ConfigError(
            [
                f"--top-k {filling.top_k} is above the {entries:,} entries of the vocabulary of "
                f"{loaded.name}: give at most {entries}."
            ]
        )
