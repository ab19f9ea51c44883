"""Plain words: what they say of better, worse and neither, and that their numbers are right."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextfill.evaluation.bootstrap import Interval
from nextfill.evaluation.plain_words import (
    Count,
    Hits,
    change_words,
    comparison_words,
    hits_of,
    plain_text,
    share_words,
    verdict_of,
)


@pytest.mark.parametrize(
    ("before", "after", "verdict", "told"),
    [
        (340, 421, "better", "It predicts your text better: of 100 next tokens it now has 42 "),
        (
            421,
            340,
            "worse",
            "It predicts your text worse: of 100 next tokens it now has 34 right, b",
        ),
        (340, 340, "same", "No change in how it predicts your text: of 100 next tokens it has 34 "),
        (340, 342, "unclear", "No clear change in how it predicts your text: of 1,000 next tokens"),
        (340, 421, "unknown", "Too few documents to tell chance from a change in how it predicts"),
        (421, 340, "better", "It predicts your text better, though not by its first guesses: of 1"),
        (340, 421, "worse", "It predicts your text worse, though not by its first guesses: of 10"),
    ],
)
def test_the_verdict_leads_and_the_counts_follow(before, after, verdict, told):
    words = change_words(Hits(before, 1000), Hits(after, 1000), verdict, "causal")
    assert plain_text(words).startswith(told)


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        (Interval(-0.1, -0.2, -0.05), "better"),
        (Interval(0.1, 0.05, 0.2), "worse"),
        (Interval(-0.1, -0.3, 0.0), "unclear"),
        (Interval(0.1, -0.1, 0.3), "unclear"),
        (Interval(0.0, 0.0, 0.0), "same"),
        (Interval(-0.1), "unknown"),
        (Interval(math.nan), "unknown"),
    ],
)
def test_the_interval_decides(change, verdict):
    assert verdict_of(change) == verdict


def test_equal_counts_are_as_before_whatever_the_nats_say():
    told = plain_text(change_words(Hits(7, 50), Hits(7, 50), "better", "masked"))
    assert told == (
        "It predicts your text better, though not by its first guesses: of 50 hidden tokens it has "
        "7 right, as before."
    )


def test_different_tokens_are_not_counted_side_by_side():
    told = plain_text(change_words(Hits(7, 50), Hits(9, 60), "better", "causal"))
    assert told == "It predicts your text better."
    told = plain_text(comparison_words(("a", "b"), None, "worse", "causal"))
    assert told == "b predicts the text worse than a."


def test_one_target_is_one_token():
    assert plain_text(share_words(Hits(1, 1), "causal")) == "Of 1 next token it has 1 right."


def test_models_are_named():
    hits = Hits(50, 200), Hits(50, 200)
    told = plain_text(comparison_words(("runs/it", "b"), hits, "same", "masked"))
    assert told == (
        "b predicts the text as runs/it does: of 100 hidden tokens it has 25 right, and so has "
        "runs/it."
    )
    told = plain_text(
        comparison_words(("a", "b"), (Hits(50, 200), Hits(60, 200)), "unclear", "causal")
    )
    assert told.endswith("of 100 next tokens b has 30 right, and a has 25.")


@given(st.integers(1, 10**7), st.data())
def test_the_numbers_are_the_shares_and_never_flatter(targets, data):
    first, second = (Hits(data.draw(st.integers(0, targets)), targets) for _ in range(2))
    words = change_words(first, second, "better", "causal")
    counts = {part.name: part for part in words if isinstance(part, Count)}
    scale = counts["of"].value
    assert scale in (100, 1000, 10_000, targets)
    assert scale <= targets
    by_name = {"after": second} | ({"before": first} if first != second else {})
    assert counts.keys() == {"of", *by_name}
    for name, hits in by_name.items():
        count = counts[name]
        assert count.value == pytest.approx(scale * hits.correct / hits.targets)
        shown = int(count.text.replace(",", ""))
        assert abs(shown - count.value) <= 0.5 + 1e-9
        if scale < min(10_000, targets):  # few are not none, and many are not all
            assert (shown == 0) == (hits.correct == 0)
            assert (shown == scale) == (hits.correct == targets)


@pytest.mark.parametrize(
    "event",
    [
        None,
        {},
        {"targets": 9},
        {"accuracy": None, "targets": 9},
        {"accuracy": 0.5},
        {"accuracy": "0.5", "targets": 9},
        {"accuracy": 0.5, "targets": 0},
        {"accuracy": math.nan, "targets": 9},
    ],
)
def test_an_evaluation_that_has_not_kept_them_has_no_hits(event):
    assert hits_of(event) is None
