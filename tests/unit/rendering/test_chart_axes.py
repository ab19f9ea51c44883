import math
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nextfill.rendering.chart_axes import (
    MOST_TICKS,
    log_ticks,
    round_ticks,
    step_axis,
    tick_labels,
    value_axis,
)

VALUE = st.floats(-1e12, 1e12)
POSITIVE = st.floats(1e-12, 1e12)


@given(VALUE, VALUE)
@example(0.0, 5e-324)
@example(1e-310, 3e-308)
@example(-1e-305, 1e-302)
def test_ticks_are_few_rise_and_hold_the_values_between_them(one, other):
    low, high = min(one, other), max(one, other)
    ticks = round_ticks(low, high)
    assert 2 <= len(ticks) <= MOST_TICKS + 1
    assert all(a < b for a, b in pairwise(ticks))
    room = 1e-6 * (ticks[-1] - ticks[0])
    assert ticks[0] - room <= low <= high <= ticks[-1] + room


@given(POSITIVE, POSITIVE)
def test_ticks_of_a_logarithmic_axis_do_too(one, other):
    low, high = min(one, other), max(one, other)
    ticks = log_ticks(low, high)
    assert 2 <= len(ticks) <= MOST_TICKS
    assert all(a < b for a, b in pairwise(ticks))
    assert ticks[0] <= low <= high <= ticks[-1]


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0.0, 2e-5, [0, 5e-6, 1e-5, 1.5e-5, 2e-5]),
        (50.2, 113.8, [40, 60, 80, 100, 120]),
        (-0.3, 0.25, [-0.3, -0.2, -0.1, 0.0, 0.1, 0.2, 0.3]),
        (3.0, 3.0, [2.7, 2.8, 2.9, 3.0, 3.1, 3.2, 3.3]),
        (0.0, 0.0, [-1, -0.5, 0, 0.5, 1]),
    ],
)
def test_ticks_are_round(low, high, ticks):
    assert round_ticks(low, high) == pytest.approx(ticks)


def test_steps_are_whole_numbers_and_the_axis_ends_with_the_data():
    axis = step_axis(0, 3)
    assert axis.ticks == [0, 1, 2, 3]
    assert step_axis(1, 100_000).ticks[-1] == 100_000
    assert [step_axis(0, 60).percent(step) for step in (0, 15, 60)] == [0, 25, 100]
    alone = step_axis(5, 5)
    assert alone.percent(5) == 50
    assert 5 in alone.ticks


def test_intervals_widen_an_axis_only_so_far():
    near = value_axis([10.0, 20.0], [8.0, 23.0], log=False)
    assert near.low <= 8
    assert near.high >= 23
    far = value_axis([10.0, 20.0], [1e-9, 1e30, math.inf, math.nan], log=False)
    assert far.high <= 40
    assert far.percent(1e30) == 100
    far = value_axis([10.0, 20.0], [-1.0, 1e-9, 1e30], log=True)
    assert far.low >= 2
    assert far.high <= 100
    assert far.percent(-1.0) == 0


def test_labels_tell_neighbouring_ticks_apart():
    for low, high in [(0, 2e-5), (1.001, 1.002), (0, 1e5), (0, 3e6), (-4, 4), (1e9, 3e9)]:
        labels = tick_labels(round_ticks(low, high))
        assert len(set(labels)) == len(labels), labels
