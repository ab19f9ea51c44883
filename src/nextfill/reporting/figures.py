"""Figures on the page: each carries its name and its whole value, so that it can be checked.

A figure is shown rounded; ``data-figure`` names it and ``value`` holds it whole, as JSON, for
anyone to compare with the run's files.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable

from nextfill.infer.evaluation.intervals import Interval
from nextfill.markup import Html, element, join
from nextfill.plain import to_json

UNKNOWN = "\N{EM DASH}"
MINUS = "\N{MINUS SIGN}"


def figure(name: str, value: object, shown: str | None = None) -> Html:
    """Return a figure of the page.

    Args:
        name: What it is, for a check; it may stand on the page more than once.
        value: The whole value, any that JSON has.
        shown: How it is shown; by default as `plain` does.

    Returns:
        The element.

    Example:
        >>> figure("tokens", 1234)
        '<data data-figure="tokens" value="1234">1,234</data>'
    """
    if shown is None:
        shown = plain(value)
    return element("data", shown, data_figure=name, value=to_json(value))


def counted(name: str, count: object, units: str) -> Html:
    """Return a count and what it is of, in the singular for one.

    Example:
        >>> counted("steps", 1, "steps")
        '<data data-figure="steps" value="1">1</data> step'
    """
    return join([figure(name, count), f" {units.removesuffix('s') if count == 1 else units}"])


def plain(value: object) -> str:
    """Return a value of a file as text: numbers with separators, the rest as JSON has it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}".replace("-", MINUS, 1)
    if isinstance(value, float):
        return repr(value).replace("-", MINUS, 1) if value < 0 else repr(value)
    if value is None:
        return UNKNOWN
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def decimals(value: float, places: int = 3) -> str:
    """Return a number with so many decimals, or three digits where it is very large.

    Example:
        >>> decimals(1234.5678), decimals(0.25, 1), decimals(1.5e9), decimals(float("nan"))
        ('1,234.568', '0.2', '1.5e+09', '—')
    """
    if math.isnan(value):
        return UNKNOWN
    if math.isinf(value):
        return "\N{INFINITY}" if value > 0 else f"{MINUS}\N{INFINITY}"
    text = f"{value:,.{places}f}" if abs(value) < 1e6 else f"{value:.3g}"
    return text.replace("-", MINUS, 1) if value < 0 else text


def signed(value: float, places: int = 3) -> str:
    """Return a change, with its sign."""
    return f"+{decimals(value, places)}" if value > 0 else decimals(value, places)


def with_interval(
    name: str, interval: Interval, show: Callable[[float], str] = decimals, after: str = ""
) -> Html:
    """Return a figure and its 95% interval below it.

    Args:
        name: What it is; the ends are named ``NAME/low`` and ``NAME/high``.
        interval: The value and the ends.
        show: How each is shown.
        after: Stands after each number, such as a percent sign.

    Returns:
        The elements.
    """
    value = figure(name, interval.value, show(interval.value) + after)
    if not interval.has_ends:
        return value
    low = figure(f"{name}/low", interval.low, show(interval.low))
    high = figure(f"{name}/high", interval.high, show(interval.high) + after)
    return Html(value + element("span", low, " to ", high, class_="interval"))


def duration(seconds: float) -> str:
    """Return a time as a person says it.

    Example:
        >>> duration(42.4), duration(123), duration(3 * 3600 + 260)
        ('42 s', '2 min 3 s', '3 h 4 min')
    """
    if not math.isfinite(seconds):
        return UNKNOWN
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours:,} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
