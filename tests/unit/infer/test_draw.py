"""Draws: from the right distribution, reproducible, and each row by itself."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from nextfill.infer.draw import Draw, uniform_numbers

DRAWS = 20_000


def drawn(scores: torch.Tensor, uniform: np.ndarray, start: int = 3) -> torch.Tensor:
    """Draw one token a row."""
    left = Draw(uniform, start)(torch.zeros(len(scores), start, dtype=torch.long), scores)
    assert ((left > -torch.inf).sum(dim=1) == 1).all()
    return left.argmax(dim=1)


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
    uniform = uniform_numbers(0, [1, 2], 0, DRAWS)[:, None]
    tokens = drawn(logits.expand(DRAWS, count), uniform)
    found, bound = chi_square(tokens.bincount(minlength=count), logits.double().softmax(0))
    assert found < bound


def test_numbers_of_different_texts_are_independent():
    numbers = [uniform_numbers(0, [5], sample, 2)[1] for sample in range(DRAWS)]
    counts, _ = np.histogram(numbers, bins=20, range=(0, 1))
    found, bound = chi_square(torch.from_numpy(counts), torch.full((20,), 0.05).double())
    assert found < bound
    assert abs(np.corrcoef(numbers[:-1], numbers[1:])[0, 1]) < 4 / math.sqrt(DRAWS)


def test_seed_prompt_and_number_each_give_other_numbers():
    keys = [(0, (5, 6), 0), (1, (5, 6), 0), (0, (5, 7), 0), (0, (5,), 0), (0, (5, 6), 1)]
    assert len({tuple(uniform_numbers(*key, 4)) for key in keys}) == len(keys)
    assert uniform_numbers(0, [5, 6], 0, 2).tolist() == [
        0.8298973813779784,
        0.16595702068847995,
    ]  # on every machine, for ever


def test_what_was_ruled_out_is_never_drawn():
    scores = torch.tensor([[-torch.inf, 0.0, -torch.inf, 1.0, -torch.inf]]).repeat(4, 1)
    edges = np.array([[0.0], [1 - 2.0**-53], [0.2], [0.9]])
    assert drawn(scores, edges).tolist() == [1, 3, 1, 3]
    rows = torch.tensor([[0.0, -torch.inf, -torch.inf], [-torch.inf, -torch.inf, 0.0]])
    assert drawn(rows, np.array([[0.99], [0.01]])).tolist() == [0, 2]


def test_a_row_is_drawn_as_it_is_alone():
    scores = torch.randn(5, 40, generator=torch.Generator().manual_seed(0))
    scores[scores < -0.5] = -torch.inf
    uniform = np.stack([uniform_numbers(3, [7], row, 4) for row in range(5)])
    together = drawn(scores, uniform)
    for row in range(5):
        assert drawn(scores[row : row + 1], uniform[row : row + 1]) == together[row]


def test_each_step_has_a_number_of_its_own():
    draw = Draw(np.array([[0.1, 0.9]]), start=2)
    scores = torch.zeros(1, 2)
    tokens = [int(draw(torch.zeros(1, n, dtype=torch.long), scores).argmax()) for n in (2, 3)]
    assert tokens == [0, 1]
