"""The report's first table: every figure before and after, with what it is over."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from nextfill.infer.evaluation.intervals import Interval
from nextfill.markup import Html, element, html_table, join
from nextfill.reporting.compare import Measure, number
from nextfill.reporting.figures import counted, decimals, figure, signed, with_interval
from nextfill.reporting.gather import EvaluatedSet

NAMES = {
    "perplexity": "Perplexity",
    "nats_per_token": "Nats per token",
    "bits_per_byte": "Bits per byte",
    "byte_perplexity": "Byte perplexity",
    "character_perplexity": "Character perplexity",
    "word_perplexity": "Word perplexity",
}
UNITS = {"targets": "tokens", "words": "words", "bytes": "bytes", "characters": "characters"}
"""What the counts of an evaluation are of."""


def units_of(one: EvaluatedSet, measure: Measure) -> str:
    """Return what a measure is over, in words: of a masked model the tokens that were hidden."""
    hidden = measure.over == "targets" and one.before.get("objective") == "masked"
    return f"masked {UNITS[measure.over]}" if hidden else UNITS[measure.over]


def before_and_after(one: EvaluatedSet) -> Html:
    """Return the table of a set of documents: each figure, its interval, and how it changed."""
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
    return element("p", Html(", ".join(shown)), class_="nf-note") if shown else Html("")


def _groups(one: EvaluatedSet) -> Html:
    """Return the perplexity of each group of documents, where a field was named for it."""
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
    """Say how often the likeliest token was the right one."""
    told: list[object] = []
    for when, event in (("before", one.before), ("after", one.after)):
        share = 100 * number((event or {}).get("accuracy"))
        if math.isfinite(share):
            told += [
                ", then " if told else "",
                figure(f"{one.name}/{when}/accuracy", share, decimals(share, 1)),
                "%",
            ]
    if not told:
        return Html("")
    return element("p", "The likeliest token was the right one at ", *told, ".", class_="nf-note")


def _row(one: EvaluatedSet, measure: Measure) -> list[object]:
    def cell(when: str, interval: Interval) -> Html:
        return with_interval(f"{one.name}/{when}/{measure.key}", interval, decimals)

    size, units = one.before.get(measure.over), units_of(one, measure)
    over = element("small", "over ", counted(f"{one.name}/{measure.over}", size, units))
    row: list[object] = [join([NAMES[measure.key], over]), cell("before", measure.before)]
    if measure.after is not None:
        row += [cell("after", measure.after), change(one.name, measure)]
    return row


def change(name: str, measure: Measure) -> Html:
    """Return how much a figure changed, in percent for a perplexity."""
    if measure.change is None:
        return Html("")
    percent = measure.key.endswith("perplexity")

    def show(value: float) -> str:
        return signed(value, 1 if percent else 3)

    label = f"{name}/change/{measure.key}"
    return with_interval(label, measure.change, show, after="%" if percent else "")
