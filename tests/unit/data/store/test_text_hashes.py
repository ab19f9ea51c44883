"""Hashes that stand several times, or among others, are found by their sorted halves."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextfill.data.store import text_hashes
from nextfill.data.store.text_hashes import is_among, number_texts, repeated
from nextfill.data.store.token_store import DOCUMENT
from tests.properties import examples

some = st.lists(st.sampled_from([0, 1, 2, 3, 5, 8, 2**63, 2**64 - 1]), max_size=40)


@given(some, some, st.integers(1, 9))
@examples(300)
def test_numbers_among_others(numbers, others, at_once):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_hashes, "_AT_ONCE", at_once)
        found = is_among(np.array(numbers, np.uint64), np.array(others, np.uint64))
    assert found.tolist() == [one in others for one in numbers]


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 2)), max_size=40))
@examples(300)
def test_hashes_that_are_repeated(hashes):
    rows = np.zeros(len(hashes), DOCUMENT)
    rows["hash"] = np.array(hashes, np.uint64).reshape(-1, 2)
    halves = Counter(first for first, _ in hashes)
    assert repeated(rows).tolist() == [halves[first] > 1 for first, _ in hashes]
    distinct = sorted(set(hashes))
    assert number_texts(rows["hash"]).tolist() == [distinct.index(one) for one in hashes]
