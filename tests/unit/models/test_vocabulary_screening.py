"""The likeliest tokens of a row, found by weights in 8 bits, against the logits of all."""

from __future__ import annotations

import pytest
import torch

from nextfill.models.inference.matrix_products import has_int8
from nextfill.models.inference.vocabulary_screening import VocabularyScreen, vocabulary_screen

pytestmark = pytest.mark.skipif(not has_int8(), reason="this PyTorch has no products in 8 bits")


def plain(generator, vocabulary, width):
    return torch.randn(vocabulary, width, generator=generator)


def with_large_inputs(generator, vocabulary, width):
    weight = plain(generator, vocabulary, width)
    weight[:, 1] = weight[:, 1] * 0.01 + 3.0  # as of models whose rows share a direction
    weight[:, 2] *= 40
    return weight


def with_large_tokens(generator, vocabulary, width):
    weight = plain(generator, vocabulary, width)
    weight[::700] *= 30
    return weight


def with_twins(generator, vocabulary, width):
    return plain(generator, vocabulary // 7 + 1, width).repeat(7, 1)[:vocabulary]


def in_twos(generator, vocabulary, width):
    return plain(generator, vocabulary, width).sign() * 0.5


KINDS = (plain, with_large_inputs, with_large_tokens, with_twins, in_twos)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("vocabulary", "width"), [(6400, 64), (5003, 33), (12_801, 96)])
def test_no_likely_token_is_left_out(kind, vocabulary, width):
    generator = torch.Generator().manual_seed(vocabulary)
    weight = kind(generator, vocabulary, width)
    screen = VocabularyScreen(weight)
    found = 0
    for trial in range(40):
        row = torch.randn(1, width, generator=generator) * 10.0 ** (trial % 5 - 2)
        if trial % 4 == 0:
            row[0, trial % width] *= 60
        if trial % 6 == 0:
            row = weight[[trial * 11]] * row.norm()  # one token stands out
        count = (1, 2, 20, 50)[trial % 4]
        candidates = screen(row, count)
        if candidates is None:
            continue
        found += 1
        ids, logits = candidates.ids[0], candidates.logits[0]
        expected = row.double() @ weight.double().t()
        rounding = 1e-5 * float(row.norm() * weight.norm(dim=1).max())
        assert torch.equal(ids, ids.unique())  # each once, ascending
        assert (logits - expected[0, ids]).abs().max() <= rounding
        left_out = torch.ones(vocabulary, dtype=torch.bool)
        left_out[ids] = False
        kth = expected[0].topk(count).values[-1]
        assert len(ids) >= count
        assert expected[0, left_out].max() < kth
    assert found >= 10


def test_ties_of_the_last_are_among_the_candidates():
    weight = with_twins(torch.Generator().manual_seed(1), 7000, 48)
    row = weight[[5]] * 3
    [ids] = VocabularyScreen(weight)(row, 1).ids
    assert {5 + n * 1001 for n in range(7) if 5 + n * 1001 < 7000} <= set(ids.tolist())


def test_what_fills_the_last_block_counts_for_nothing():
    weight = plain(torch.Generator().manual_seed(2), 6401, 48)
    row = weight[[6400]] * 3  # which stands alone in its block
    ids = VocabularyScreen(weight)(row, 4).ids[0]
    assert set((weight @ row[0]).topk(4).indices.tolist()) <= set(ids.tolist())
    assert int(ids.max()) == 6400


@pytest.mark.parametrize("number", [torch.nan, torch.inf, -torch.inf, 1e38, 0.0])
def test_of_numbers_that_tell_nothing_there_are_no_candidates(number):
    screen = VocabularyScreen(plain(torch.Generator().manual_seed(0), 5003, 32))
    assert screen(torch.full((1, 32), number), 3) is None


def test_more_than_can_be_told_are_left_to_the_head():
    screen = VocabularyScreen(plain(torch.Generator().manual_seed(0), 640, 32))
    assert screen(torch.ones(1, 32), 11) is None  # of ten groups
    assert VocabularyScreen(torch.ones(6400, 32))(torch.ones(1, 32), 1) is None  # all are equal


def test_a_head_that_gains_nothing_has_no_screen():
    weight = torch.ones(2**13, 2**10)
    assert vocabulary_screen(weight, None) is not None
    assert vocabulary_screen(weight[1:], None) is None
    assert vocabulary_screen(weight, torch.zeros(2**13)) is None
    assert vocabulary_screen(weight.t(), None) is None
    weight[7, 7] = torch.inf
    assert vocabulary_screen(weight, None) is None
