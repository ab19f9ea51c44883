"""The choice of each row's next token from its scores: the likeliest, or a draw within limits.

The limits are transformers' own. Where only the likeliest k tokens can be drawn, the others are
left out first, so that what follows is k numbers a row and not the vocabulary's.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from nextfill.config import GenerationConfig
from nextfill.generation.decoding import (
    SAMPLING_DEFAULTS,
    Draw,
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
        self._top_p = values["top_p"]
        self._is_plain = values["min_p"] == 0 and values["typical_p"] == 1 and self._top_k > 0
        self._all = sampling_warpers(generation)
        self._others = sampling_warpers(generation, without=("temperature", "top_k"))

    @property
    def count(self) -> int | None:
        """How many of the likeliest tokens a choice is made among; None for all of them."""
        if self._draw is None:
            return 1
        return self._top_k or None

    def __call__(self, scores: Tensor, ids: Tensor | None = None) -> Tensor:
        """Choose a token for each row.

        Args:
            scores: ``[B, n] float32``.
            ids: The tokens that they are of, ``[B, n] int64``, ascending; None for all.

        Returns:
            ``[B] int64``.
        """
        if ids is None:
            return self._places(scores)
        if self._draw is None or not self._is_plain or len(scores) > 1:
            return ids.gather(1, self._places(scores)[:, None])[:, 0]
        values = scores[0].numpy()
        if np.isnan(values.max()):
            refuse_nan(scores)
        values = values / self._temperature
        places = within_limits(values, self._top_k, self._top_p)
        return ids[:, int(places[self._draw.place(values[places])])]

    def _places(self, scores: Tensor) -> Tensor:
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
        refuse_nan(scores)
        for warper in self._all:
            scores = warper(None, scores)
        return self._draw.tokens(scores)

    def _candidates(self, scores: Tensor) -> tuple[Tensor, Tensor] | None:
        """Return the scores that may be drawn in the vocabulary's order, and their tokens.

        None where very many are as likely as the least of them, which may then be drawn as well.
        """
        values, ids = likeliest(scores, min(self._top_k + _TIES, scores.shape[1]))
        refuse_nan(values[:, 0])
        values = values / self._temperature
        least = values[:, self._top_k - 1, None]
        if bool((values[:, -1:] == least).any()):
            return None
        values = values.masked_fill(values < least, -torch.inf)
        ids, order = ids.sort(dim=1)
        values = values.gather(1, order)
        for warper in self._others:
            values = warper(None, values)
        return values, ids


_TIES = 64
"""Tokens as likely as the least likely that may be drawn; bfloat16 has many."""

_BLOCK = 64


def within_limits(values: np.ndarray, top_k: int, top_p: float) -> np.ndarray:
    """Return which of a few tokens may be drawn, as transformers' limits have it, ascending.

    In a tenth of the operations of transformers' own, each of which takes longer to begin than a
    hundred numbers take.

    Args:
        values: Scores by the temperature, ``[n] float32``.
        top_k: So many of the likeliest, and those as likely as the last of them.
        top_p: The likeliest that have this much of the probability together.

    Returns:
        ``[kept] int64``.

    Example:
        >>> within_limits(np.array([1.0, 3.0, 2.0], dtype=np.float32), 2, 0.9).tolist()
        [1, 2]
    """
    order = values.argsort(kind="stable")
    if top_k < len(values):
        least = values[order[-top_k]]
        order = order[-np.count_nonzero(values >= least) :]
    if top_p < 1:
        highest = values[order]
        cumulative = np.exp(highest - highest[-1]).cumsum()
        first = int(cumulative.searchsorted((1 - top_p) * cumulative[-1], side="right"))
        order = order[min(first, len(order) - 1) :]
    order.sort()
    return order


def likeliest(scores: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return the highest scores of each row, the highest first, and their places, ``[B, count]``.

    They stand in the blocks of the vocabulary with the highest maxima, which are found in a quarter
    of the time. Of equal scores, the last of those returned may stand for others.

    Example:
        >>> likeliest(torch.tensor([[1.0, 3.0, 2.0]]), 2)[1].tolist()
        [[1, 2]]
    """
    rows, size = scores.shape
    blocks = size // _BLOCK
    if blocks < 2 * count:
        return scores.topk(count, dim=1)
    in_blocks = scores[:, : blocks * _BLOCK].view(rows, blocks, _BLOCK)
    highest = in_blocks.amax(dim=2).topk(count, dim=1, sorted=False).indices
    places = (highest[:, :, None] * _BLOCK + torch.arange(_BLOCK)).flatten(1)
    rest = torch.arange(blocks * _BLOCK, size).expand(rows, -1)
    places = torch.cat([places, rest], dim=1)
    values, at = scores.gather(1, places).topk(count, dim=1)
    return values, places.gather(1, at)
