"""The choice of tokens against transformers' own limits on all scores."""

import numpy as np
import pytest
import torch

from nextfill.config import GenerationConfig
from nextfill.core.errors import ModelError
from nextfill.generation.decoding import Draw, UniformNumbers, sampling_warpers
from nextfill.generation.token_choice import TokenChoice, likeliest, within_limits


def numbers(rows, seed):
    return [UniformNumbers(seed, [1], row) for row in range(rows)]


@pytest.mark.parametrize("size", [7, 51, 300, 12_800, 50_257])
def test_a_draw_is_the_one_among_all_scores(size):
    generator = torch.Generator().manual_seed(size)
    for trial in range(24):
        rows = 1 + trial % 3
        scores = torch.randn(rows, size, generator=generator) * 3
        if trial % 7 == 0:
            scores[:, ::3] = -torch.inf
        if trial % 11 == 0:
            scores[:] = 1.0
        generation = GenerationConfig(
            temperature=(None, 0.7, 1.3)[trial % 3],
            top_k=(None, 1, 5, 0)[trial % 4],
            top_p=(None, 0.5, 1.0)[trial % 3],
            min_p=(None, 0.1)[trial % 2],
            typical_p=(None, 0.8, 0.9, None, None)[trial % 5],
        )
        found = TokenChoice(generation, Draw(numbers(rows, trial)))(scores.clone())
        for warper in sampling_warpers(generation):
            scores = warper(None, scores)
        assert torch.equal(found, Draw(numbers(rows, trial))(None, scores).argmax(dim=1))


def test_all_that_are_as_likely_as_the_last_may_be_drawn():
    for others in (3, 500):  # few ties stay among the candidates, many do not
        scores = torch.zeros(1, 20_000)
        scores[0, :others] = 1.0
        scores[0, 7000] = 2.0
        choose = TokenChoice(GenerationConfig(top_k=2, top_p=1.0), Draw(numbers(1, 0)))
        drawn = {int(choose(scores)) for _ in range(3 * others + 40)}
        assert drawn <= {7000, *range(others)}
        assert len(drawn) > min(others, 100)


@pytest.mark.parametrize("size", [1, 2, 51, 180, 1500])
def test_a_draw_among_candidates_is_the_one_among_all_scores(size):
    generator = torch.Generator().manual_seed(size)
    for trial in range(60):
        scores = torch.full((1, 6000), -20.0)
        ids = torch.randperm(6000, generator=generator)[:size].sort().values[None]
        some = torch.randn(1, size, generator=generator) * (0.1, 1, 4)[trial % 3]
        if trial % 7 == 0:
            some[0, : size // 2] = -torch.inf
        generation = GenerationConfig(
            temperature=(None, 0.7, 1.3)[trial % 3],
            top_k=(None, 1, 5)[trial % 3],
            top_p=(None, 0.5, 1.0, 0.01)[trial % 4],
            min_p=(None, None, 0.1)[trial % 3],
        )
        scores.scatter_(1, ids, some)
        if size < 50:
            scores[scores == -20] = -torch.inf
        found = TokenChoice(generation, Draw(numbers(1, trial)))(some, ids)
        expected = TokenChoice(generation, Draw(numbers(1, trial)))(scores)
        assert torch.equal(found, expected)


def test_the_limits_are_transformers_own():
    generator = torch.Generator().manual_seed(0)
    for trial in range(300):
        values = torch.randn(1, 1 + trial % 90, generator=generator)
        top_k, top_p = 1 + trial % 60, (1.0, 0.95, 0.5, 0.001)[trial % 4]
        if top_p == 1:  # of equal ones the share of probability takes those that a sort leaves
            values = (values * 4).round() / 4
        expected = values
        for warper in sampling_warpers(GenerationConfig(top_k=top_k, top_p=top_p)):
            expected = warper(None, expected)
        found = within_limits(values[0].numpy(), top_k, top_p)
        assert found.tolist() == (expected[0] > -torch.inf).nonzero()[:, 0].tolist()


@pytest.mark.parametrize("greedy", [True, False])
def test_nan_is_refused(greedy):
    scores = torch.zeros(2, 9000)
    scores[1, 77] = torch.nan
    draw = None if greedy else Draw(numbers(2, 0))
    with pytest.raises(ModelError, match="computes NaN"):
        TokenChoice(GenerationConfig(greedy=greedy), draw)(scores)


def test_the_likeliest_stand_in_the_highest_blocks():
    generator = np.random.default_rng(0)
    for _ in range(50):
        size, count = int(generator.integers(1, 20_000)), int(generator.integers(1, 60))
        count = min(count, size)
        scores = torch.from_numpy(generator.normal(size=(2, size))).float().bfloat16().float()
        values, places = likeliest(scores, count)
        assert torch.equal(values, scores.topk(count, dim=1).values)
        assert torch.equal(scores.gather(1, places), values)
        assert all(len(set(row)) == count for row in places.tolist())
