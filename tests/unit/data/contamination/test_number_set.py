"""A set of numbers finds its members, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextfill.data.contamination import number_set
from nextfill.data.contamination.number_set import NumberSet, ascending
from tests.properties import examples

numbers = st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 20), max_size=60)


@given(numbers, numbers, st.sampled_from([8, 64, 1 << 22]))
@examples(300)
def test_members_are_found_in_the_order_of_the_set(members, others, at_once):
    members = np.array(sorted(set(members)), np.uint64)
    asked = np.array([*members.tolist(), *others, *others], np.uint64)
    asked = np.random.default_rng(0).permutation(asked)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(number_set, "_AT_ONCE", at_once)
        places, which = NumberSet(members).find(asked)
    assert sorted(places.tolist()) == np.flatnonzero(np.isin(asked, members)).tolist()
    assert np.array_equal(members[which], asked[places])
    assert (np.diff(which) >= 0).all()


@given(numbers, st.sampled_from([np.uint32, np.uint64]))
@examples(200)
def test_equal_numbers_stay_in_their_order(some, dtype):
    some = np.array(some, np.uint64).astype(dtype)
    order = ascending(some)
    assert order.tolist() == sorted(range(len(some)), key=lambda at: int(some[at]))


def test_a_large_set():
    some = np.random.default_rng(0).integers(0, 2**64 - 1, 300_000, np.uint64)
    members, others = np.unique(some[:200_000]), some[200_000:]
    found = NumberSet(members)
    assert len(found) == len(members)
    places, which = found.find(members[::-1])
    assert np.array_equal(which, np.arange(len(members)))
    assert np.array_equal(places, which[::-1])
    assert not len(found.find(np.setdiff1d(others, members))[0])
