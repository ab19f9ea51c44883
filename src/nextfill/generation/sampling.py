"""Draw tokens so that a text depends on its prompt, its number and the seed, and on nothing else.

transformers draws all rows of a batch from one generator, so that what a prompt is answered hangs
on its neighbours. Here every row has random numbers of its own. The draw is a logits processor, the
last one: it leaves one token possible, and the argmax that follows takes it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from transformers import LogitsProcessor

from nextfill.data.packing.order import philox


class Numbers:
    """The random numbers of one text, one after another: 53 bits each, on every machine the same.

    Args:
        seed: The user's.
        prompt: Token ids of the prompt.
        sample: Number of the text among those of this prompt, from 0.

    Example:
        >>> numbers = Numbers(0, [5, 6], sample=0)
        >>> next(numbers), next(numbers)
        (0.8298973813779784, 0.16595702068847995)
    """

    def __init__(self, seed: int, prompt: Sequence[int], sample: int) -> None:
        self._bits = philox("generate", seed, prompt_key(prompt), sample)

    def __iter__(self) -> Numbers:
        return self

    def __next__(self) -> float:
        return (int(self._bits.random_raw()) >> 11) * 2.0**-53


def prompt_key(prompt: Sequence[int]) -> int:
    """Return a number that stands for a prompt, so that no two share a stream."""
    ids = np.asarray(prompt, dtype="<i8").tobytes()
    return int.from_bytes(hashlib.blake2b(ids, digest_size=8).digest(), "little")


class Draw(LogitsProcessor):  # type: ignore[misc]
    """Leaves each row the one token that its next random number falls on.

    Args:
        numbers: For each row its random numbers, uniform in [0, 1).

    Source:
        Inverse transform sampling: the first token at which the cumulative probability, in the
        vocabulary's order, exceeds the number. That order, rather than by probability, keeps the
        draw the same where rounding swaps two tokens that are nearly as likely.
    """

    def __init__(self, numbers: Sequence[Iterator[float]]) -> None:
        self._numbers = numbers

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Take the scores ``[rows, V]`` and return them with one token left in each row."""
        # Most tokens are ruled out already, and the sums belong on the host: MPS has no float64.
        possible = (scores > -torch.inf).any(dim=0).nonzero()[:, 0]
        logits = scores[:, possible].cpu().double().numpy()
        weights = np.exp(logits - logits.max(axis=1, keepdims=True))
        cumulative = weights.cumsum(axis=1)
        point = np.array([next(row) for row in self._numbers]) * cumulative[:, -1]
        drawn = torch.from_numpy((cumulative <= point[:, None]).sum(axis=1)).to(scores.device)
        left = torch.full_like(scores, -torch.inf)
        return left.scatter_(1, possible[drawn][:, None], 0.0)
