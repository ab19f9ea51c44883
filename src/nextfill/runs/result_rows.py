"""Rows of the tables that results show: figures before and after, and counts of a ledger."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nextfill.rendering.result_cards import figure_text, ratio_text

if TYPE_CHECKING:  # a preparation evaluates nothing
    from nextfill.evaluation.figures import Evaluation

_LEDGER_NAMES = {
    "empty": "documents of white space alone",
    "with_text": "records that gave documents",
}
"""Names of counts that would not tell by their keys what they are."""

BEFORE_AND_AFTER = ("", "before", "after", "after / before")
"""Columns of `before_and_after`."""


def before_and_after(before: Evaluation, after: Evaluation) -> list[tuple[str, str, str, str]]:
    """Return the figures that training lowers, as text: name, before, after, ratio."""
    pairs = [
        ("perplexity", before.perplexity, after.perplexity),
        ("bits per byte", before.bits_per_byte, after.bits_per_byte),
        ("word perplexity", before.word_perplexity, after.word_perplexity),
    ]
    groups_after = after.groups or {}
    pairs += [
        (f"perplexity of {name}", one.perplexity, groups_after[name].perplexity)
        for name, one in (before.groups or {}).items()
        if name in groups_after
    ]
    return [
        (name, figure_text(first), figure_text(last), ratio_text(last, first))
        for name, first, last in pairs
        if not math.isnan(first)  # of a masked model
    ]


def ledger_rows(ledger: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the counts of a ledger as text: name and count, each reason in a row of its own."""
    rows = []
    for key, value in ledger.items():
        name = _LEDGER_NAMES.get(key) or key.replace("_", " ")
        if isinstance(value, int):
            rows.append((name, f"{value:,}"))
        elif isinstance(value, str):
            rows.append((name, value))
        elif isinstance(value, Mapping):
            rows += [(f"{name}: {reason}", text) for reason, text in ledger_rows(value)]
    return rows
