"""Decoding: our settings for transformers' ``generate``, limits of sampling, and the draw itself.

The rest is transformers' own: the loop, the cache, beams, penalties. It draws all rows of a batch
from one generator, so that the text of a prompt depends on its neighbours. Here every row has its
own random numbers, and the draw is the last logits processor: it leaves one token possible, which
the argmax after it takes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
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
from nextfill.data.packing.order import philox
from nextfill.models.loaded_model import LoadedModel

SAMPLING_DEFAULTS = {"temperature": 1.0, "top_k": 50, "top_p": 0.95, "min_p": 0.0, "typical_p": 1.0}

_WARPERS = {
    "temperature": (TemperatureLogitsWarper, 1.0),
    "top_k": (TopKLogitsWarper, 0),
    "top_p": (TopPLogitsWarper, 1.0),
    "min_p": (MinPLogitsWarper, 0.0),
    "typical_p": (TypicalLogitsWarper, 1.0),
}
"""transformers' limits of sampling, in its own order, and the values at which they do nothing."""


def end_ids(loaded: LoadedModel) -> frozenset[int]:
    """Return the tokens that end a text, by the tokenizer and by the model's settings."""
    named = getattr(loaded.model.generation_config, "eos_token_id", None)
    ids = [named] if named is None or isinstance(named, int) else list(named)
    return frozenset(i for i in (*ids, loaded.tokenizer.eos_token_id) if i is not None)


def transformers_config(
    generation: GenerationConfig, loaded: LoadedModel, ends: frozenset[int]
) -> TransformersConfig:
    """Return transformers' settings for ours, with the tokens that end a text; none of a model's.

    The end tokens are all that it would take over of the model's own settings.
    """
    settings: dict[str, Any] = {
        "max_new_tokens": generation.max_new_tokens,
        "min_new_tokens": generation.min_new_tokens,
        "repetition_penalty": generation.repetition_penalty,
        "no_repeat_ngram_size": 0,  # see `logits_processors`
        "num_beams": generation.num_beams,
        "num_return_sequences": 1,
        "do_sample": False,  # see `Draw`
        "eos_token_id": sorted(ends) or None,
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
    """Return the logits processors that run after transformers' own.

    ``padding`` counts the tokens of padding at the left of each prompt of the batch; without a
    ``draw`` no token is drawn, or beam search draws.
    """
    processors = LogitsProcessorList([RefuseNaN()])
    if generation.no_repeat_ngram_size:
        ngrams = NoRepeatNGramLogitsProcessor(generation.no_repeat_ngram_size)
        processors.append(WithoutPadding(ngrams, padding))
    if draw is not None:
        processors += [*sampling_warpers(generation), draw]
    return processors


def sampling_warpers(
    generation: GenerationConfig, without: Sequence[str] = ()
) -> list[LogitsProcessor]:
    """Return transformers' own limits of sampling, those with an effect, without some."""
    values = {**SAMPLING_DEFAULTS, **generation.sampling}
    return [
        warper(values[name])
        for name, (warper, off) in _WARPERS.items()
        if values[name] != off and name not in without
    ]


def refuse_nan(scores: torch.Tensor) -> None:
    """Refuse scores of any shape of which one is NaN."""
    if bool(torch.isnan(scores).any()):
        raise ModelError(
            "The model computes NaN, which is not a number: its weights are damaged or its "
            "training diverged. Give an earlier checkpoint, or try --precision fp32."
        )


class RefuseNaN(LogitsProcessor):  # type: ignore[misc]
    """Refuses scores that are NaN, of which an argmax would make a text all the same."""

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Return the scores ``[rows, V]`` as they are."""
        refuse_nan(scores)
        return scores


class WithoutPadding(LogitsProcessor):  # type: ignore[misc]
    """Gives a processor each row without its padding, which it would take for text.

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


class UniformNumbers:
    """The random numbers of one text in [0, 1), 53 bits each, the same on every machine.

    Args:
        seed: The user's.
        prompt: Token ids of the prompt.
        sample: Number of the text among those of this prompt, from 0.

    Example:
        >>> numbers = UniformNumbers(0, [5, 6], sample=0)
        >>> next(numbers), next(numbers)
        (0.8298973813779784, 0.16595702068847995)
    """

    def __init__(self, seed: int, prompt: Sequence[int], sample: int) -> None:
        self._bits = philox("generate", seed, prompt_key(prompt), sample)

    def __iter__(self) -> UniformNumbers:
        return self

    def __next__(self) -> float:
        return (int(self._bits.random_raw()) >> 11) * 2.0**-53


def prompt_key(prompt: Sequence[int]) -> int:
    """Return a number of a prompt by its ids, so that no two share a stream."""
    ids = np.asarray(prompt, dtype="<i8").tobytes()
    return int.from_bytes(hashlib.blake2b(ids, digest_size=8).digest(), "little")


class Draw(LogitsProcessor):  # type: ignore[misc]
    """Leaves each row the one token that its next random number, uniform in [0, 1), falls on.

    Source:
        Inverse transform sampling: the first token at which the cumulative probability, in the
        vocabulary's order, exceeds the number. That order, rather than by probability, keeps the
        draw the same where rounding swaps two tokens that are nearly as likely.
    """

    def __init__(self, numbers: Sequence[Iterator[float]]) -> None:
        self._numbers = numbers

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Take the scores ``[rows, V]`` and return them with one token left in each row."""
        left = torch.full_like(scores, -torch.inf)
        return left.scatter_(1, self.tokens(scores)[:, None], 0.0)

    def tokens(self, scores: torch.Tensor) -> torch.Tensor:
        """Take the scores ``[rows, V]`` and return the token of each row, ``[rows] int64``."""
        # Most tokens are ruled out already.
        possible = (scores > -torch.inf).any(dim=0).nonzero()[:, 0]
        return possible[self.places(scores[:, possible])]

    def places(self, scores: torch.Tensor) -> torch.Tensor:
        """Take the scores of candidates, ``[rows, n]``, and return which is drawn of each row."""
        logits = scores.cpu().double().numpy()  # the sums belong on the host: MPS has no float64
        weights = np.exp(logits - logits.max(axis=1, keepdims=True))
        cumulative = weights.cumsum(axis=1)
        point = np.array([next(row) for row in self._numbers]) * cumulative[:, -1]
        return torch.from_numpy((cumulative <= point[:, None]).sum(axis=1)).to(scores.device)

    def place(self, scores: np.ndarray) -> int:
        """Take the scores of the candidates of the only row, ``[n]``, and return which is drawn."""
        logits = scores.astype(np.float64)
        cumulative = np.exp(logits - logits.max()).cumsum()
        [numbers] = self._numbers
        return int(cumulative.searchsorted(next(numbers) * cumulative[-1], side="right"))
