"""Draw tokens so that a text depends on its prompt, its number and the seed, and on nothing else.

transformers draws all rows of a batch from one generator, so that what a prompt is answered hangs
on its neighbours. Here every row has random numbers of its own. The draw is a logits processor, the
last one: it leaves one token possible, and the argmax that follows takes it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import LogitsProcessor

from nextfill.data.order import philox


def uniform_numbers(
    seed: int, prompt: Sequence[int], sample: int, count: int
) -> NDArray[np.float64]:
    """Return the random numbers of one text, ``[count] float64`` in [0, 1).

    Args:
        seed: The user's.
        prompt: Token ids of the prompt.
        sample: Number of the text among those of this prompt, from 0.
        count: How many; fewer are the beginning of more.

    Returns:
        53 bits each, the same on every machine.

    Example:
        >>> numbers = uniform_numbers(0, prompt=[5, 6], sample=0, count=3)
        >>> bool((numbers[:2] == uniform_numbers(0, prompt=[5, 6], sample=0, count=2)).all())
        True
    """
    raw = philox("generate", seed, prompt_key(prompt), sample).random_raw(count)
    return (raw >> np.uint64(11)).astype(np.float64) * 2.0**-53


def prompt_key(prompt: Sequence[int]) -> int:
    """Return a number that stands for a prompt, so that no two share a stream."""
    ids = np.asarray(prompt, dtype="<i8").tobytes()
    return int.from_bytes(hashlib.blake2b(ids, digest_size=8).digest(), "little")


class Draw(LogitsProcessor):  # type: ignore[misc]
    """Leaves each row the one token that its next random number falls on.

    Args:
        uniform: Random numbers, ``[rows, steps] float64``.
        start: Tokens of a row before the first one that is drawn, padding included.

    Source:
        Inverse transform sampling: the first token at which the cumulative probability, in the
        vocabulary's order, exceeds the number. That order, rather than by probability, keeps the
        draw the same where rounding swaps two tokens that are nearly as likely.
    """

    def __init__(self, uniform: NDArray[np.float64], start: int) -> None:
        self._uniform = uniform
        self._start = start

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Take the scores ``[rows, V]`` and return them with one token left in each row."""
        # Most tokens are ruled out already, and the sums belong on the host: MPS has no float64.
        possible = (scores > -torch.inf).any(dim=0).nonzero()[:, 0]
        logits = scores[:, possible].cpu().double().numpy()
        weights = np.exp(logits - logits.max(axis=1, keepdims=True))
        cumulative = weights.cumsum(axis=1)
        point = self._uniform[:, input_ids.shape[1] - self._start] * cumulative[:, -1]
        drawn = torch.from_numpy((cumulative <= point[:, None]).sum(axis=1)).to(scores.device)
        left = torch.full_like(scores, -torch.inf)
        return left.scatter_(1, possible[drawn][:, None], 0.0)
