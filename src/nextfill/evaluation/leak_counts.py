"""The number of leaked documents as a row of a table."""

from __future__ import annotations

from collections.abc import Mapping

from nextfill.core.amounts import amount


def leak_rows(leaks: Mapping[str, int] | None) -> list[tuple[str, str]]:
    """Return the number of leaked documents and of all as text; nothing without a search.

    Example:
        >>> leak_rows({"checked": 9, "too_short": 0, "exact": 2, "near": 1, "tokens": 70})
        [('3 (2 exact, 1 near)', '9 documents')]
    """
    if leaks is None:
        return []
    exact, near = leaks["exact"], leaks["near"]
    count = f"{exact + near:,} ({exact:,} exact, {near:,} near)" if exact + near else "0"
    return [(count, amount(leaks["checked"], "document"))]
