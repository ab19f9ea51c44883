"""The next tokens of texts that grow together: penalties, draws, and log-probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from nextfill.config import GenerationConfig
from nextfill.generation.decoding import Draw
from nextfill.generation.token_choice import TokenChoice
from nextfill.serving.completion import ChosenToken, Completion


def drawing_key(text: Completion) -> tuple[Any, ...]:
    """Return what texts have in common that are drawn together."""
    generation = text.wanted.generation
    return (
        generation.greedy,
        *(sorted(generation.sampling.items())),
    )


def drawn_tokens_of(texts: Sequence[Completion], logits: Tensor) -> Tensor:
    """Return the next token of each text, ``[B] int64``, of those with one way to draw."""
    generation: GenerationConfig = texts[0].wanted.generation
    scores = torch.stack([_with_penalties(t, row) for t, row in zip(texts, logits, strict=True)])
    draw = None if generation.greedy else Draw([text.numbers for text in texts])
    return TokenChoice(generation, draw)(scores)


def _with_penalties(text: Completion, scores: Tensor) -> Tensor:
    """Return a text's scores, ``[V]``, changed as was asked for it."""
    wanted = text.wanted
    repetition = wanted.generation.repetition_penalty
    if repetition != 1.0:
        seen = torch.tensor(sorted({*wanted.ids, *text.new}))
        own = scores[seen]
        scores = scores.clone()
        scores[seen] = torch.where(own < 0, own * repetition, own / repetition)
    if text.new and (wanted.frequency_penalty or wanted.presence_penalty):
        made, counts = torch.unique(torch.tensor(text.new), return_counts=True)
        scores = scores.clone()
        scores[made] -= wanted.presence_penalty + wanted.frequency_penalty * counts
    if text.bias is not None:
        tokens, added = text.bias
        scores = scores.clone()
        scores[tokens] += added
    return scores


def chosen_tokens(
    logits: Tensor, tokens: Sequence[int], num_likeliest: int
) -> tuple[ChosenToken, ...]:
    """Return tokens with their log-probabilities, and the likeliest in the place of each.

    Args:
        logits: ``[n, V]``.
        tokens: The n tokens.
        num_likeliest: Likeliest tokens to tell of each place.
    """
    if not len(tokens):
        return ()
    nats = logits.float().log_softmax(dim=-1)
    own = nats.gather(1, torch.tensor(list(tokens))[:, None])[:, 0].tolist()
    values, ids = nats.topk(min(num_likeliest, nats.shape[1]), dim=-1)
    return tuple(
        ChosenToken(token, chance, tuple(zip(places, chances, strict=True)))
        for token, chance, places, chances in zip(
            tokens, own, ids.tolist(), values.tolist(), strict=True
        )
    )
