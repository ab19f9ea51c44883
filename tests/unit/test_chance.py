"""Tests do not fail by chance: a busy machine is no failure of what they look at."""

from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st


@given(st.booleans())
def test_a_slow_example_of_a_property_is_no_failure(value: bool) -> None:
    time.sleep(0.25)
    assert value in (True, False)
