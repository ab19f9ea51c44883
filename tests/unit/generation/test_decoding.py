"""Draws: from the right distribution, reproducible, and each row by itself."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import islice
from typing import Any

import numpy as np
import pytest
import torch

from nextfill.generation.decoding import Draw, UniformNumbers

DRAWS = 20_000


def drawn(scores: torch.Tensor, numbers: Iterable[float]) -> torch.Tensor:
    """Draw one token a row."""
    left = Draw([iter([number]) for number in numbers])(torch.zeros(len(scores), 3), scores)
    assert ((left > -torch.inf).sum(dim=1) == 1).all()
    return left.argmax(dim=1)


def first(count: int, *key: Any) -> list[float]:
    return list(islice(UniformNumbers(*key), count))


def chi_square(observed: torch.Tensor, probabilities: torch.Tensor) -> tuple[float, float]:
    """Return Pearson's statistic and a bound that one in 10,000 right samples exceeds."""
    expected = probabilities * observed.sum()
    assert expected.min() > 5
    degrees = len(expected) - 1
    # Wilson and Hilferty's cube root of the chi-square quantile.
    bound = degrees * (1 - 2 / (9 * degrees) + 3.719 * math.sqrt(2 / (9 * degrees))) ** 3
    return float(((observed - expected) ** 2 / expected).sum()), bound


@pytest.mark.parametrize("count", [2, 30])
def test_tokens_come_as_often_as_they_are_likely(count):
    logits = torch.randn(count, generator=torch.Generator().manual_seed(count))
    tokens = drawn(logits.expand(DRAWS, count), first(DRAWS, 0, [1, 2], 0))
    found, bound = chi_square(tokens.bincount(minlength=count), logits.double().softmax(0))
    assert found < bound


def test_numbers_of_different_texts_are_independent():
    numbers = [first(2, 0, [5], sample)[1] for sample in range(DRAWS)]
    counts, _ = np.histogram(numbers, bins=20, range=(0, 1))
    found, bound = chi_square(torch.from_numpy(counts), torch.full((20,), 0.05).double())
    assert found < bound
    assert abs(np.corrcoef(numbers[:-1], numbers[1:])[0, 1]) < 4 / math.sqrt(DRAWS)


def test_seed_prompt_and_number_each_give_other_numbers():
    keys = [(0, (5, 6), 0), (1, (5, 6), 0), (0, (5, 7), 0), (0, (5,), 0), (0, (5, 6), 1)]
    assert len({tuple(first(4, *key)) for key in keys}) == len(keys)


def test_what_was_ruled_out_is_never_drawn():
    scores = torch.tensor([[-torch.inf, 0.0, -torch.inf, 1.0, -torch.inf]]).repeat(4, 1)
    edges = [0.0, 1 - 2.0**-53, 0.2, 0.9]
    assert drawn(scores, edges).tolist() == [1, 3, 1, 3]
    rows = torch.tensor([[0.0, -torch.inf, -torch.inf], [-torch.inf, -torch.inf, 0.0]])
    assert drawn(rows, [0.99, 0.0]).tolist() == [0, 2]


def test_a_row_is_drawn_as_it_is_alone():
    scores = torch.randn(5, 40, generator=torch.Generator().manual_seed(0))
    scores[scores < -0.5] = -torch.inf
    numbers = first(5, 3, [7], 0)
    together = drawn(scores, numbers)
    for row in range(5):
        assert drawn(scores[row : row + 1], numbers[row : row + 1]) == together[row]


def test_each_step_has_a_number_of_its_own():
    draw = Draw([iter([0.1, 0.9])])
    scores = torch.zeros(1, 2)
    assert [int(draw(torch.zeros(1, 3), scores).argmax()) for _ in range(2)] == [0, 1]
