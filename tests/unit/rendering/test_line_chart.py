import math
import random
import re

import pytest

from nextfill.rendering.line_chart import MOST_MARKED, MOST_ON_A_LINE, Series, line_chart, thin

HELD_OUT = Series("held out", [0, 50], [4.0, 3.0], [3.8, 2.9], [4.2, 3.1], style="points", colour=2)


def test_a_chart_says_what_it_shows_to_those_who_cannot_see_it():
    chart = line_chart("Loss", [Series("training", [1, 50], [4.5, 3.5]), HELD_OUT], unit="nats")
    assert 'role="img"' in chart
    assert "<title>Loss, nats, by step</title>" in chart
    assert "training: 4.5 at step 1, 3.5 at step 50. held out: 4 at step 0, 3 at step 50." in chart
    assert chart.count('class="nf-key"') == 2
    assert chart.count("nf-interval") == 2


def test_one_curve_needs_no_legend():
    assert "nf-key" not in line_chart("Speed", [Series("tokens/s", [1, 2], [900.0, 910.0])])


def test_curves_lie_where_their_values_are():
    chart = line_chart("Loss", [Series("a", [0, 5, 10], [0.0, 5.0, 10.0])])
    assert 'd="M0.0,1000.0L500.0,500.0L1000.0,0.0"' in chart
    assert 'data-x="0 5 10" data-y="0.0 5.0 10.0"' in chart
    log = line_chart("Loss", [Series("a", [0, 10], [1.0, 100.0])], log_y=True)
    assert 'd="M0.0,1000.0L1000.0,0.0"' in log
    assert "logarithmic" in log


def test_an_axis_may_begin_at_zero():
    speed = [Series("a", [0, 10], [900.0, 1000.0])]
    assert ">0<" not in re.sub(r"<text[^>]*middle.*?</text>", "", line_chart("Speed", speed))
    assert ">0</text>" in line_chart("Speed", speed, from_zero=True)
    assert "M0.0,100.0L1000.0,0.0" in line_chart("Speed", speed, from_zero=True)


def test_names_are_escaped_and_figures_named():
    chart = line_chart("<b>", [Series('"><script>', [1], [1.0], figure="curve.loss")], unit="<i>")
    assert "<script" not in chart
    assert "<b>" not in chart
    assert "<i>" not in chart
    assert 'data-figure="curve.loss"' in chart


def test_what_cannot_be_drawn_is_left_out_and_counted():
    nan, inf = math.nan, math.inf
    chart = line_chart("Loss", [Series("a", [1, 2, 3, 4], [1.0, nan, inf, 2.0])])
    assert 'data-x="1 4"' in chart
    assert "cannot be drawn and are left out: 2." in chart
    assert "left out: 1." in line_chart("Loss", [Series("a", [1, 2], [0.0, 2.0])], log_y=True)
    assert line_chart("Loss", [Series("a", [1], [nan]), Series("b", [], [])]) == ""
    lone = line_chart("Loss", [Series("a", [1], [2.0], [nan], [nan], style="points")])
    assert "<circle" in lone
    assert "nf-interval" not in lone


@pytest.mark.parametrize("style", ["line", "points"])
def test_long_curves_are_thinned_and_the_chart_says_so(style):
    generator = random.Random(0)
    values = [generator.gauss(0, 1) for _ in range(100_000)]
    chart = line_chart("Loss", [Series("a", range(100_000), values, style=style)])
    most = MOST_ON_A_LINE if style == "line" else MOST_MARKED
    drawn = re.search(r'data-x="([^"]*)"', chart)[1].split()
    assert most / 2 < len(drawn) <= most
    assert f"a: {len(drawn):,} of 100,000 points drawn" in chart
    assert "points drawn" not in line_chart("Loss", [Series("a", range(90), values[:90])])


def test_thinning_keeps_ends_and_extremes_in_order():
    generator = random.Random(1)
    values = [generator.gauss(0, 1) for _ in range(12_345)]
    places = thin(values, 500)
    assert len(places) <= 500
    assert places == sorted(set(places))
    kept = [values[at] for at in places]
    assert (kept[0], kept[-1]) == (values[0], values[-1])
    assert (min(kept), max(kept)) == (min(values), max(values))
    assert thin([1.0, 2.0], 4) == [0, 1]
