"""Batches hold rows of like length, and every row once."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextfill.generation.generate import length_batches, make_rows
from nextfill.generation.prompts import Prompt


def prompts(*lengths: int) -> list[Prompt]:
    return [Prompt("x" * length, (1,) * length) for length in lengths]


@given(
    st.lists(st.integers(1, 6), min_size=1, max_size=20),
    st.integers(1, 5),
    st.integers(1, 3),
    st.sampled_from(["padded", "equal", "alone"]),
)
def test_every_row_is_in_one_batch(lengths, size, per_prompt, way):
    rows = make_rows(prompts(*lengths), per_prompt, Counter())
    batches = list(length_batches(rows, size, way))
    assert Counter(row for batch in batches for row in batch) == Counter(rows)
    for batch in batches:
        found = {len(row.prompt.ids) for row in batch}
        assert 1 <= len(batch) <= (1 if way == "alone" else size)
        assert len(found) == 1 or way == "padded"
    order = [len(row.prompt.ids) for batch in batches for row in batch]
    assert order == sorted(order, reverse=True)


def test_batches_are_as_full_as_they_may_be():
    rows = make_rows(prompts(3, 1, 3, 2, 3), 1, Counter())
    sizes = {way: [len(b) for b in length_batches(rows, 2, way)] for way in ("padded", "equal")}
    assert sizes == {"padded": [2, 2, 1], "equal": [2, 1, 1, 1]}


@pytest.mark.parametrize("per_prompt", [1, 2])
def test_a_prompt_that_comes_again_goes_on_counting(per_prompt):
    seen: Counter[int] = Counter()
    rows = make_rows(prompts(1, 2, 1), per_prompt, seen)
    rows += make_rows(prompts(1), per_prompt, seen)
    samples = [row.sample for row in rows if len(row.prompt.ids) == 1]
    assert samples == list(range(3 * per_prompt))
