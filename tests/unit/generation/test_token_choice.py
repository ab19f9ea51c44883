"""The choice of tokens against transformers' own limits on all scores."""

import numpy as np
import pytest
import torch

from nextfill.config import GenerationConfig
from nextfill.core.errors import ModelError
from nextfill.generation.decoding import Draw, UniformNumbers, sampling_warpers
from nextfill.generation.token_choice import TokenChoice, likeliest


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
