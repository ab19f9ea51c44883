"""Our settings in the words of transformers' ``generate``.

What is not here transformers does: the loop, the cache, beams, penalties, what limits sampling.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import (
    GenerationConfig as TransformersConfig,
)
from transformers import (
    LogitsProcessor,
    LogitsProcessorList,
    MinPLogitsWarper,
    NoRepeatNGramLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
    TypicalLogitsWarper,
)

from nextfill.config import GenerationConfig
from nextfill.core.errors import ModelError
from nextfill.generation.sampling import Draw
from nextfill.models.loaded_model import LoadedModel

SAMPLING_DEFAULTS = {"temperature": 1.0, "top_k": 50, "top_p": 0.95, "min_p": 0.0, "typical_p": 1.0}


def end_ids(loaded: LoadedModel) -> frozenset[int]:
    """Return the tokens that end a text: the tokenizer's, and those the model's settings name."""
    named = getattr(loaded.model.generation_config, "eos_token_id", None)
    ids = [named] if named is None or isinstance(named, int) else list(named)
    return frozenset(i for i in (*ids, loaded.tokenizer.eos_token_id) if i is not None)


def transformers_config(generation: GenerationConfig, loaded: LoadedModel) -> TransformersConfig:
    """Return the settings that transformers takes; of the model's own only the end tokens."""
    settings: dict[str, Any] = {
        "max_new_tokens": generation.max_new_tokens,
        "min_new_tokens": generation.min_new_tokens,
        "repetition_penalty": generation.repetition_penalty,
        "no_repeat_ngram_size": 0,  # see `logits_processors`
        "num_beams": generation.num_beams,
        "num_return_sequences": 1,
        "do_sample": False,  # see `Draw`
        "eos_token_id": sorted(end_ids(loaded)) or None,
        "pad_token_id": loaded.pad_id,
    }
    if generation.num_beams > 1:
        penalty = generation.length_penalty
        settings |= {
            "num_return_sequences": generation.num_samples,
            "length_penalty": 1.0 if penalty is None else penalty,
            "early_stopping": False,
        }
        if generation.samples:
            settings |= {"do_sample": True, **SAMPLING_DEFAULTS, **generation.sampling}
    return TransformersConfig(**settings)


def logits_processors(
    generation: GenerationConfig, padding: Sequence[int], draw: Draw | None
) -> LogitsProcessorList:
    """Return what changes the logits, after what transformers does by its own settings."""
    found = LogitsProcessorList([CheckNumbers()])
    if generation.no_repeat_ngram_size:
        ngrams = NoRepeatNGramLogitsProcessor(generation.no_repeat_ngram_size)
        found.append(WithoutPadding(ngrams, padding))
    if draw is not None:
        found += [*sampling_warpers(generation), draw]
    return found


def sampling_warpers(generation: GenerationConfig) -> list[LogitsProcessor]:
    """Return transformers' own limits of sampling that have an effect, in its own order."""
    chosen = {**SAMPLING_DEFAULTS, **generation.sampling}
    warpers: list[LogitsProcessor] = []
    if chosen["temperature"] != 1.0:
        warpers.append(TemperatureLogitsWarper(chosen["temperature"]))
    if chosen["top_k"]:
        warpers.append(TopKLogitsWarper(chosen["top_k"]))
    if chosen["top_p"] < 1.0:
        warpers.append(TopPLogitsWarper(chosen["top_p"]))
    if chosen["min_p"]:
        warpers.append(MinPLogitsWarper(chosen["min_p"]))
    if chosen["typical_p"] < 1.0:
        warpers.append(TypicalLogitsWarper(chosen["typical_p"]))
    return warpers


class CheckNumbers(LogitsProcessor):  # type: ignore[misc]
    """Refuses scores that are not numbers, of which an argmax would make a text all the same."""

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Return the scores ``[rows, V]`` as they are."""
        if bool(torch.isnan(scores).any()):
            raise ModelError(
                "The model computes NaN, which is not a number: its weights are damaged or its "
                "training diverged. Give an earlier checkpoint, or try --precision fp32."
            )
        return scores


class WithoutPadding(LogitsProcessor):  # type: ignore[misc]
    """Shows a processor each row without its padding, which it would take for text.

    Args:
        processor: Any processor of transformers.
        padding: Tokens of padding at the left of each prompt of the batch.
    """

    def __init__(self, processor: LogitsProcessor, padding: Sequence[int]) -> None:
        self._processor = processor
        self._padding = padding

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Take and return the scores ``[rows, V]``; a row may be one of several beams."""
        beams = len(input_ids) // len(self._padding)
        rows = []
        for number in range(len(input_ids)):
            padding = self._padding[number // beams]
            row = slice(number, number + 1)
            rows.append(self._processor(input_ids[row, padding:], scores[row]))
        return torch.cat(rows)
