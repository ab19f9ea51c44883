"""Prompts of infilling: a prefix and a suffix, with the tokens after which a middle comes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nextfill.config import GenerationConfig
from nextfill.core.errors import ModelError
from nextfill.data.infilling_tokens import (
    KNOWN,
    InfillingTokens,
    find_infilling_tokens,
    is_recorded,
)
from nextfill.data.special_tokens import evaluation_frame, training_frame
from nextfill.data.store.encoder import Encoder
from nextfill.generation.prompts import Prompt, PromptText, check_room, check_text, encode_each
from nextfill.models.loaded_model import LoadedModel


def infilling_tokens_of(loaded: LoadedModel) -> InfillingTokens:
    """Return the tokens of infilling of a model, refusing one that has none."""
    tokens = find_infilling_tokens(loaded.tokenizer)
    if tokens is None:
        raise ModelError(
            f"{loaded.name} has no tokens that mark a prefix, a suffix and a middle, such as "
            f"{KNOWN[0][0]}, and so never learnt to fill in what comes before a --suffix: name a "
            "model that did, or train this one with --fim-rate 0.5; without --suffix a prompt is "
            "continued."
        )
    return tokens


def encode_infills(
    loaded: LoadedModel,
    texts: Sequence[PromptText],
    tokens: InfillingTokens,
    generation: GenerationConfig,
) -> list[Prompt]:
    """Encode prompts before the suffix of the settings, each with room for a middle.

    The ids are those that come before a middle in training: prefix and suffix are encoded apart,
    and no space is put before the suffix. A model of ours has the start token before them that it
    was trained with, another one what its tokenizer puts before any text.
    """
    suffix = generation.suffix or ""
    check_text(suffix, "suffix")
    encoder = Encoder(loaded.tokenizer, "tokenizers")
    after, _ = encoder.of_continuations.encode([suffix])
    start = _start(loaded.tokenizer)

    def single(token: int) -> np.ndarray[Any, Any]:
        return np.array([token], np.int64)

    def encode(text: str) -> Prompt:
        check_text(text, "prompt")
        before, _ = encoder.encode([text])
        parts = tokens.opening(before, after, single, suffix_first=generation.suffix_order == "spm")
        ids = [*start, *np.concatenate(parts).tolist()]
        check_room(loaded, ids, generation.max_new_tokens, has_suffix=True)
        return Prompt(text, tuple(ids), suffix)

    return encode_each(texts, encode)


def _start(tokenizer: Any) -> tuple[int, ...]:
    if is_recorded(tokenizer):
        return evaluation_frame(tokenizer).prefix
    return training_frame(tokenizer, end_of_document=False).prefix
