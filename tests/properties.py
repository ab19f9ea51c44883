"""How many examples a property is tried on: a fixed choice by `make test`, many by `test-all`."""

from __future__ import annotations

import os

from hypothesis import settings

THOROUGH = os.environ.get("NEXTFILL_TEST_EXAMPLES") == "all"
"""Whether all examples are wanted, drawn anew each time, and not the same few."""

_SHARE = 6
_LEAST = 15


def examples(count: int) -> settings:
    """Return a decorator for a property worth so many examples."""
    return settings(max_examples=number_of_examples(count))


def number_of_examples(count: int) -> int:
    """Return the number to try this time."""
    return count if THOROUGH else max(min(count, _LEAST), count // _SHARE)
