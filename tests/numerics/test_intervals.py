"""The 95% interval holds the truth 95 times in 100, whatever documents differ in."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from nextfill.evaluation import bootstrap as intervals
from nextfill.evaluation.bootstrap import (
    Interval,
    difference_interval,
    mean_and_error,
    mean_interval,
)

SAMPLES = 1000
DOCUMENTS = 200

Sample = tuple[NDArray[np.float64], NDArray[np.int64]]


def draw(random: np.random.Generator, number: int, tie: float) -> Sample:
    """Documents of 10 to some thousand tokens; ``tie`` makes the longer ones harder, or easier."""
    length, ease = random.standard_normal((2, number))
    sizes = np.maximum(1, np.exp(4.5 + length)).astype(np.int64)
    level = 3 + 0.5 * (tie * length + math.sqrt(1 - tie**2) * ease)
    by_chance = 2 * np.sqrt(sizes) * random.standard_normal(number)
    return np.maximum(sizes * level + by_chance, 0), sizes


def truth(tie: float) -> float:
    nats, sizes = draw(np.random.default_rng(1), 8_000_000, tie)
    return float(nats.sum() / sizes.sum())


@pytest.mark.parametrize("tie", [0.0, pytest.param(-0.5, marks=pytest.mark.trial)])
def test_it_covers_the_truth(tie: float) -> None:
    random, true = np.random.default_rng(0), truth(tie)
    held = 0
    for _ in range(SAMPLES):
        _, low, high = mean_interval(*draw(random, DOCUMENTS, tie))
        held += low <= true <= high
    print(f"tie {tie}: {held} of {SAMPLES} intervals hold the truth")
    assert 0.93 <= held / SAMPLES <= 0.97


def test_it_is_the_normal_one_where_documents_are_alike() -> None:
    random = np.random.default_rng(2)
    sizes = np.full(2000, 100)
    nats = 300 + 10 * random.standard_normal(2000)
    mean, error = mean_and_error(nats, sizes)
    found = mean_interval(nats, sizes)
    assert found.value == mean
    assert (mean - found.low) / error == pytest.approx(1.96, rel=0.06)
    assert (found.high - mean) / error == pytest.approx(1.96, rel=0.06)


def test_it_is_the_same_each_time_and_in_any_order() -> None:
    nats, sizes = draw(np.random.default_rng(3), 50, 0.0)
    found = mean_interval(nats, sizes)
    assert found == mean_interval(nats, sizes)
    turned = mean_interval(nats[::-1], sizes[::-1])
    assert turned == pytest.approx(found, rel=0.02)


def test_it_does_not_depend_on_how_many_are_drawn_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    nats, sizes = draw(np.random.default_rng(4), 50, 0.0)
    found = mean_interval(nats, sizes)
    monkeypatch.setattr(intervals, "_AT_ONCE", 333)
    assert mean_interval(nats, sizes) == pytest.approx(found, rel=1e-12)


@pytest.mark.parametrize("different", [1, 2, 3])
@pytest.mark.parametrize("spread", [0.0, 1e-9, 1e-3])
@pytest.mark.parametrize("number", [10, 12, 30, 100])
def test_a_few_that_differ_do_not_put_an_end_anywhere(
    number: int, spread: float, different: int
) -> None:
    """A resample without them knows of next to no spread, and is far from the mean by it."""
    random = np.random.default_rng(5)
    sizes = np.full(number, 40)
    nats = 120 * (1 + spread * random.standard_normal(number))
    nats[:different] += 20
    mean, error = mean_and_error(nats, sizes)
    found = mean_interval(nats, sizes)
    for end in (mean - found.low, found.high - mean):
        assert error < end <= 7.0001 * error


def test_documents_without_a_size_do_no_harm() -> None:
    nats, sizes = np.array([5.0] + 11 * [0.0]), np.array([4] + 11 * [0])
    assert mean_interval(nats, sizes).has_ends


def test_few_documents_have_a_wide_one() -> None:
    nats, sizes = np.array([20.0, 45.0]), np.array([10, 15])
    mean, error = mean_and_error(nats, sizes)
    assert mean_interval(nats, sizes).high == pytest.approx(mean + 12.706 * error, rel=1e-4)
    assert mean_interval(nats[:1], sizes[:1]).has_ends is False
    assert math.isnan(mean_interval(nats[:0], sizes[:0]).value)
    widths = []
    for count in (9, 10):
        _, low, high = mean_interval(*draw(np.random.default_rng(5), count, 0.0))
        widths.append(high - low)
    assert widths[1] < 2 * widths[0]


def test_many_documents_take_no_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    nats, sizes = draw(np.random.default_rng(6), 20_000, 0.0)
    resampled = mean_interval(nats, sizes)
    monkeypatch.setattr(intervals, "MOST_DRAWS", 0)
    assert mean_interval(nats, sizes) == pytest.approx(resampled, rel=2e-3)


def test_documents_without_spread_have_an_interval_of_no_width() -> None:
    sizes = np.arange(1, 30)
    assert mean_interval(2.0 * sizes, sizes) == Interval(2.0, 2.0, 2.0)


def test_a_difference_is_surer_than_two_means() -> None:
    random = np.random.default_rng(7)
    nats, sizes = draw(random, 100, 0.0)
    better = nats - 0.05 * sizes * (1 + 0.1 * random.standard_normal(100))
    found = difference_interval((nats, sizes), (better, sizes))
    assert found == pytest.approx(mean_interval(better - nats, sizes), rel=1e-9)
    alone = mean_interval(nats, sizes)
    assert found.high - found.low < (alone.high - alone.low) / 10
    turned = difference_interval((better, sizes), (nats, sizes))
    assert turned == pytest.approx((-found.value, -found.high, -found.low), rel=1e-9)


@pytest.mark.trial
def test_a_difference_of_ratios_over_other_sizes_covers_the_truth() -> None:
    """As two tokenizers have them: the sizes differ from document to document."""
    held = 0
    for seed in range(SAMPLES):
        random = np.random.default_rng(seed)
        nats, sizes = draw(random, 60, 0.0)
        fewer = np.maximum(1, (sizes * random.uniform(0.7, 0.9, 60)).astype(np.int64))
        others = fewer * (nats / sizes + random.normal(0.3, 0.1, 60))
        _, low, high = difference_interval((nats, sizes), (others, fewer))
        held += low <= 0.3 <= high
    print(f"{held} of {SAMPLES} intervals hold the true difference")
    assert 0.93 <= held / SAMPLES <= 0.97
