"""Where stop strings end a text, against a search letter by letter."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextfill.generation.text_stream import cut, settled

texts = st.text("ab\n", max_size=12)
stop_strings = st.lists(st.text("ab\n", min_size=1, max_size=4), min_size=1, max_size=3)


def letter_by_letter(text: str, stops: list[str], start: int) -> int | None:
    """Grow the text by a letter at a time until it ends with a stop string."""
    for length in range(start + 1, len(text) + 1):
        ended = [length - len(stop) for stop in stops if text[:length].endswith(stop)]
        if ended:
            return min(ended)
    return None


@given(texts, stop_strings, st.integers(0, 12))
def test_the_stop_string_that_is_complete_first_ends_the_text(text, stops, start):
    assert cut(text, stops, start) == letter_by_letter(text, stops, start)


@given(texts, stop_strings, texts)
def test_what_is_settled_stays_whatever_follows(text, stops, rest):
    if cut(text, stops) is not None:
        return
    shown = settled(text, stops)
    at = cut(text + rest, stops)
    assert at is None or shown <= at
    if shown < len(text):  # held back for a reason
        assert any(stop.startswith(text[shown:]) for stop in stops)


@pytest.mark.parametrize(
    ("text", "stops", "expected"),
    [
        ("abc", ["c"], 2),
        ("abc", ["abc", "b"], 1),  # b is complete before abc
        ("abc", ["abc", "bc"], 0),  # both are complete at once: the longer one
        ("abc", ["d"], None),
        ("", ["d"], None),
        ("a🙂b", ["🙂"], 1),
    ],
)
def test_examples(text, stops, expected):
    assert cut(text, stops) == expected


def test_without_stop_strings_all_is_settled():
    assert settled("abc", []) == 3
