"""The choice of each row's next token from its scores: the likeliest, or a draw within limits.

The limits are transformers' own. Where only the likeliest k tokens can be drawn, the others are
left out first, so that what follows is k numbers a row and not the vocabulary's.
"""

from __future__ import annotations

import torch
from torch import Tensor

from nextfill.config import GenerationConfig
from nextfill.generation.decoding import (
    SAMPLING_DEFAULTS,
    Draw,
    RefuseNaN,
    refuse_nan,
    sampling_warpers,
)


class TokenChoice:
    """Chooses a token for each row of scores.

    Args:
        generation: The settings of sampling.
        draw: The random numbers of each row; None for the likeliest token.
    """

    def __init__(self, generation: GenerationConfig, draw: Draw | None) -> None:
        values = {**SAMPLING_DEFAULTS, **generation.sampling}
        self._draw = draw
        self._temperature = values["temperature"]
        self._top_k = int(values["top_k"])
        self._all = sampling_warpers(generation)
        self._others = sampling_warpers(generation, without=("temperature", "top_k"))

    def __call__(self, scores: Tensor) -> Tensor:
        """Take scores ``[B, V] float32`` and return tokens, ``[B] int64``."""
        if self._draw is None:
            best, tokens = scores.max(dim=1)
            refuse_nan(best)  # which a maximum takes for the largest
            return tokens
        if 0 < self._top_k < scores.shape[1]:
            candidates = self._candidates(scores)
            if candidates is not None:
                values, ids = candidates
                drawn = self._draw.places(values)
                return ids.gather(1, drawn[:, None])[:, 0]
        scores = RefuseNaN()(None, scores)
        for warper in self._all:
            scores = warper(None, scores)
        return self._draw.tokens(scores)

    def _candidates(self, scores: Tensor) -> tuple[Tensor, Tensor] | None:
        """Return the scores that may be drawn in the vocabulary's order, and their tokens.

        None where others are as likely as the least of them, which may then be drawn as well.
        """
        values, ids = scores.topk(self._top_k + 1, dim=1)
        refuse_nan(values[:, 0])
        values = values / self._temperature
        if bool((values[:, -1] == values[:, -2]).any()):
            return None
        ids, order = ids[:, :-1].sort(dim=1)
        values = values.gather(1, order)
        for warper in self._others:
            values = warper(None, values)
        return values, ids
