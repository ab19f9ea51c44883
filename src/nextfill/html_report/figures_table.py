"""Figures of a page with their names and exact values, and the table before and after training."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

from nextfill.core.json_text import to_json
from nextfill.evaluation.bootstrap import Interval
from nextfill.evaluation.metrics import Measure, number
from nextfill.rendering.html import Html, element, html_table, join
from nextfill.runs.evaluated_sets import EvaluatedSet

UNKNOWN = "\N{EM DASH}"
MINUS = "\N{MINUS SIGN}"


def figure(name: str, value: object, shown: str | None = None) -> Html:
    """Return a figure of the page, with its name and exact value beside the value shown.

    Example:
        >>> figure("tokens", 1234)
        '<data data-figure="tokens" value="1234">1,234</data>'
    """
    if shown is None:
        shown = plain(value)
    return element("data", shown, data_figure=name, value=to_json(value))


def note(*parts: object) -> Html:
    """Return a small paragraph below a table, chart or text."""
    return element("p", *parts, class_="nf-note")


def counted(name: str, count: object, units: str) -> Html:
    """Return a count and its unit, in the singular for one.

    Example:
        >>> counted("steps", 1, "steps")
        '<data data-figure="steps" value="1">1</data> step'
    """
    return join([figure(name, count), f" {units.removesuffix('s') if count == 1 else units}"])


def plain(value: object) -> str:
    """Return a value as text: whole numbers with separators, the rest like JSON."""
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
    """Return a number with some decimals, or three digits where it is very large.

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
    """Return a figure and below it its 95% interval, named ``NAME/low`` and ``NAME/high``."""
    value = figure(name, interval.value, show(interval.value) + after)
    if not interval.has_ends:
        return value
    low = figure(f"{name}/low", interval.low, show(interval.low))
    high = figure(f"{name}/high", interval.high, show(interval.high) + after)
    return Html(value + element("span", low, " to ", high, class_="interval"))


def duration(seconds: float) -> str:
    """Return a time in its two largest units.

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


NAMES = {
    "perplexity": "Perplexity",
    "nats_per_token": "Nats per token",
    "bits_per_byte": "Bits per byte",
    "byte_perplexity": "Byte perplexity",
    "character_perplexity": "Character perplexity",
    "word_perplexity": "Word perplexity",
}
UNITS = {"targets": "tokens", "words": "words", "bytes": "bytes", "characters": "characters"}
"""Units of an evaluation's counts."""


def units_of(one: EvaluatedSet, measure: Measure) -> str:
    """Return the unit of a measure's count: of a masked model, the masked tokens."""
    masked = measure.over == "targets" and one.before.get("objective") == "masked"
    return f"masked {UNITS[measure.over]}" if masked else UNITS[measure.over]


def before_and_after(one: EvaluatedSet) -> Html:
    """Return the table of a set of documents: each figure, its interval and its change."""
    header: list[object] = ["", _heading("before", one.name, one.before)]
    if one.after is not None:
        header += [_heading("after", one.name, one.after), "change"]
    rows = [_row(one, measure) for measure in one.measures]
    table = html_table(header, rows, caption=f"{one.name}: figures")
    return join([_size(one.name, one.before), table, _accuracy(one), _groups(one)])


def _heading(word: str, name: str, event: Mapping[str, Any]) -> Html:
    step = element("small", "step ", figure(f"{name}/{word}/step", event["step"]))
    return join([word, step])


def _size(name: str, event: Mapping[str, Any]) -> Html:
    counts = [(unit, event[unit]) for unit in ("documents", "characters") if event.get(unit)]
    shown = [counted(f"{name}/{unit}", count, unit) for unit, count in counts]
    lone = "; an interval takes two documents" if event.get("documents") == 1 else ""
    return note(Html(", ".join(shown) + lone)) if shown else Html("")


def _groups(one: EvaluatedSet) -> Html:
    """Return the perplexity of each group of documents, if they were scored by groups."""
    before, after = ((event or {}).get("groups") for event in (one.before, one.after))
    if not isinstance(before, Mapping):
        return Html("")
    after = after if isinstance(after, Mapping) else {}
    rows: list[list[object]] = []
    for at, (group, figures) in enumerate(before.items()):
        name = f"{one.name}/groups/{at}"
        row: list[object] = [group, counted(f"{name}/documents", figures["documents"], "documents")]
        for when, groups in (("before", before), ("after", after)):
            value = number(groups.get(group, {}).get("perplexity"))
            row.append(figure(f"{name}/{when}", value, decimals(value)))
        rows.append(row)
    header = ["", "documents", "perplexity before", "after"]
    return html_table(header, rows, caption=f"{one.name}: groups")


def _accuracy(one: EvaluatedSet) -> Html:
    """Return the share of places, in percent, at which the likeliest token was the right one."""
    shares: list[object] = []
    for when, event in (("before", one.before), ("after", one.after)):
        share = 100 * number((event or {}).get("accuracy"))
        if math.isfinite(share):
            shown = figure(f"{one.name}/{when}/accuracy", share, decimals(share, 1))
            shares += [", then " if shares else "", shown, "%"]
    return note("The likeliest token was the right one at ", *shares, ".") if shares else Html("")


def _row(one: EvaluatedSet, measure: Measure) -> list[object]:
    def cell(when: str, interval: Interval) -> Html:
        return with_interval(f"{one.name}/{when}/{measure.key}", interval)

    size, units = one.before.get(measure.over), units_of(one, measure)
    over = element("small", "over ", counted(f"{one.name}/{measure.over}", size, units))
    row: list[object] = [join([NAMES[measure.key], over]), cell("before", measure.before)]
    if measure.after is not None:
        row += [cell("after", measure.after), change(one.name, measure)]
    return row


def change(name: str, measure: Measure) -> Html:
    """Return the change of a figure, in percent for a perplexity."""
    if measure.change is None:
        return Html("")
    percent = measure.key.endswith("perplexity")

    def show(value: float) -> str:
        return signed(value, 1 if percent else 3)

    label = f"{name}/change/{measure.key}"
    return with_interval(label, measure.change, show, after="%" if percent else "")
