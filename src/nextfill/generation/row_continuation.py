"""The loop over the tokens of a batch, with a decoder that keeps keys and values in place.

It gives what transformers' ``generate`` gives without beams: the same rules in the same order, the
same ends, the same calls of a stream.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from transformers import (
    NoRepeatNGramLogitsProcessor,
    RepetitionPenaltyLogitsProcessor,
)

from nextfill.config import GenerationConfig
from nextfill.generation.decoding import Draw, WithoutPadding
from nextfill.generation.text_stream import StopAtStrings, Stream
from nextfill.generation.token_choice import TokenChoice
from nextfill.models.inference.static_cache import CachedDecoder, Parts
from nextfill.models.inference.vocabulary_screening import Candidates


def continue_rows(
    parts: Parts,
    ids: Tensor,
    mask: Tensor,
    generation: GenerationConfig,
    *,
    ends: frozenset[int],
    pad_id: int,
    draw: Draw | None,
    stops: StopAtStrings | None,
    stream: Stream | None,
) -> Tensor:
    """Continue the prompts of a batch.

    Args:
        parts: The model's.
        ids: Prompts, ``[B, T] int64``, padded at the left.
        mask: 0 on padding, ``[B, T] int64``.
        generation: The settings, without beams.
        ends: The tokens that end a text.
        pad_id: Fills rows behind their ends.
        draw: The random numbers of each row; None for the likeliest tokens.
        stops: The ends by stop strings, if there are any.
        stream: Receives the tokens of a single row as they come.

    Returns:
        Prompts and new tokens, ``[B, T + new] int64``, filled up with ``pad_id`` behind an end.
    """
    rows, width = ids.shape
    most = generation.max_new_tokens
    sequences = torch.cat([ids, torch.full((rows, most), pad_id)], dim=1)
    rules = _rules(generation, mask, ends)
    choose = TokenChoice(generation, draw)
    ending = torch.tensor(sorted(ends), dtype=torch.long)
    is_done = torch.zeros(rows, dtype=torch.bool)
    if stream is not None:
        stream.put(ids)
    with torch.inference_mode():
        decoder = CachedDecoder(parts, ids, mask, most)
        states = decoder.last_states()
        shortlist = _Shortlist(parts, generation, choose.count, ends)
        for at in range(width, width + most):
            candidates = shortlist.candidates(states, at - width)
            if candidates is not None:
                tokens = choose(candidates.logits, candidates.ids)
            else:
                scores = parts.head(states)
                for rule in rules:
                    scores = rule(sequences[:, :at], scores)
                tokens = choose(scores)
            tokens[is_done] = pad_id
            sequences[:, at] = tokens
            if stream is not None:
                stream.put(tokens)
            is_done |= torch.isin(tokens, ending)
            if stops is not None:
                is_done |= stops(sequences[:, : at + 1], None)
            if bool(is_done.all()):
                sequences = sequences[:, : at + 1]
                break
            if at + 1 < width + most:
                states = decoder.next_states(tokens)
    if stream is not None:
        stream.end()
    return sequences


class _Shortlist:
    """The tokens of a text among which one is chosen, found without the logits of all others.

    Only where one row is computed, and no rule could make another token likely.

    Args:
        parts: The model's.
        generation: The settings, by which scores are changed.
        count: How many of the likeliest tokens are chosen among; None for all.
        ends: The tokens that end a text.
    """

    def __init__(
        self, parts: Parts, generation: GenerationConfig, count: int | None, ends: frozenset[int]
    ) -> None:
        by_other_rules = generation.repetition_penalty != 1.0 or generation.no_repeat_ngram_size
        self._screen = None if count is None or by_other_rules else parts.screen
        self._count = count or 0
        self._ends = torch.tensor(sorted(ends))
        self._min_new_tokens = generation.min_new_tokens
        self._vain = 0

    def candidates(self, states: Tensor, num_new: int) -> Candidates | None:
        """Return the candidates for the next token of a text that has grown by some."""
        if self._screen is None or len(states) > 1 or self._vain == _MOST_IN_VAIN:
            return None
        no_end = num_new < self._min_new_tokens
        found = self._screen(states, self._count + (len(self._ends) if no_end else 0))
        if found is None:
            self._vain += 1
        elif no_end:
            found.logits.masked_fill_(torch.isin(found.ids, self._ends), -torch.inf)
        return found


_MOST_IN_VAIN = 4
"""Steps of a text without candidates after which none are looked for in it."""

Rule = Callable[[Tensor, Tensor], Tensor]
"""From the tokens so far, ``[B, T]``, and scores, ``[B, V]``, to scores, as transformers has it."""


def _rules(generation: GenerationConfig, mask: Tensor, ends: frozenset[int]) -> Sequence[Rule]:
    """Return the rules that change scores before a token is chosen, those with an effect."""
    padding = (mask == 0).sum(dim=1).tolist()
    rules: list[Rule] = []
    if generation.repetition_penalty != 1.0:
        penalty = RepetitionPenaltyLogitsProcessor(generation.repetition_penalty)
        rules.append(WithoutPadding(penalty, padding))
    if generation.min_new_tokens and ends:
        rules.append(_no_end_before(mask.shape[1] + generation.min_new_tokens, ends))
    if generation.no_repeat_ngram_size:
        ngrams = NoRepeatNGramLogitsProcessor(generation.no_repeat_ngram_size)
        rules.append(WithoutPadding(ngrams, padding))
    return rules


def _no_end_before(length: int, ends: frozenset[int]) -> Rule:
    """Return the rule that no text ends before a length.

    transformers' own looks for the ends among all of the vocabulary at each token, and copies the
    scores: a twentieth of a step.
    """
    ids = torch.tensor(sorted(ends))

    def rule(tokens: Tensor, scores: Tensor) -> Tensor:
        if tokens.shape[1] >= length:
            return scores
        return scores.index_fill_(1, ids[ids < scores.shape[1]], -torch.inf)

    return rule
