"""Parts of an evaluation as a person reads them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from nextfill.display import figure_text


def window_rows(settings: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    """Return how long the text was that a token was predicted from, as text.

    Example:
        >>> window_rows({"block_size": 256, "stride": 128, "start_token": True})
        [('256 tokens', 'stride 128')]
    """
    if settings is None:
        return []
    stride = settings.get("stride")
    told = [] if stride is None else [f"stride {stride:,}"]
    told += ["no start token"] if settings.get("start_token") is False else []
    return [(f"{settings['block_size']:,} tokens", ", ".join(told))]


def documents_text(count: int) -> str:
    """Return a number of documents as text.

    Example:
        >>> documents_text(1), documents_text(1200)
        ('1 document', '1,200 documents')
    """
    return f"{count:,} document{'' if count == 1 else 's'}"


def interval_text(interval: tuple[float, float]) -> str:
    """Return an interval as text; a single document has none.

    Example:
        >>> interval_text((1.5, 2.25)), interval_text((math.nan, math.nan))
        ('1.500 to 2.250', 'unknown')
    """
    low, high = interval
    return "unknown" if math.isnan(low) else f"{figure_text(low)} to {figure_text(high)}"


def leak_rows(leaks: Mapping[str, int] | None) -> list[tuple[str, str]]:
    """Return what was found of leaks, as text, and over what; nothing where none was looked for.

    Example:
        >>> leak_rows({"checked": 9, "too_short": 0, "exact": 2, "near": 1, "tokens": 70})
        [('3 (2 exact, 1 near)', '9 documents')]
    """
    if leaks is None:
        return []
    exact, near = leaks["exact"], leaks["near"]
    told = f"{exact + near:,} ({exact:,} exact, {near:,} near)" if exact + near else "0"
    return [(told, documents_text(leaks["checked"]))]
