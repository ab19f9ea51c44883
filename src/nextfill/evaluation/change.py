"""How much better a model got: each figure before and after, and the change, with intervals."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nextfill.evaluation.bootstrap import Interval, mean_interval
from nextfill.evaluation.metrics import exp_or_inf

Scores = Mapping[str, NDArray[Any]]
"""An evaluation's arrays by name, one entry per document."""


@dataclass(frozen=True)
class Measure:
    """One figure of an evaluation, before and after.

    Args:
        key: Its name in the evaluation's events.
        over: The count it is over: ``targets``, ``words`` or ``bytes``.
        before: At the first evaluation.
        after: At the last; None while there is only one.
        change: From the first to the last: a difference, or in percent for a perplexity.
    """

    key: str
    over: str
    before: Interval
    after: Interval | None
    change: Interval | None


def _percent(difference: float) -> float:
    return 100 * (exp_or_inf(difference) - 1)


def _same(value: float) -> float:
    return value


def _bits(nats: float) -> float:
    return nats / math.log(2)


Transform = Callable[[float], float]
MEASURES: Mapping[str, tuple[str, Transform, Transform]] = {
    "perplexity": ("targets", exp_or_inf, _percent),
    "nats_per_token": ("targets", _same, _same),
    "bits_per_byte": ("bytes", _bits, _bits),
    "byte_perplexity": ("bytes", exp_or_inf, _percent),
    "character_perplexity": ("characters", exp_or_inf, _percent),
    "word_perplexity": ("words", exp_or_inf, _percent),
}
"""What each figure is over, and what it and its change make of nats per unit."""


def compare(
    first: Mapping[str, Any],
    last: Mapping[str, Any] | None,
    first_scores: Scores | None = None,
    last_scores: Scores | None = None,
) -> list[Measure]:
    """Compare two evaluations of the same documents."""
    found = []
    for key, (unit, show, show_change) in MEASURES.items():
        before = _shown(_mean(first, first_scores, unit), show)
        # A masked model scores a part of the tokens, and so nothing per word or byte.
        per_text = unit != "targets" and first.get("objective") == "masked"
        if math.isnan(before.value) or per_text:
            continue
        after = change = None
        if last is not None:
            after = _shown(_mean(last, last_scores, unit), show)
            pair = partial(_difference, first, last, first_scores, last_scores)
            change = _shown(pair(unit), show_change)
        found.append(Measure(key, unit, before, after, change))
    return found


def _shown(interval: Interval, transform: Transform) -> Interval:
    value, low, high = (math.nan if math.isnan(end) else transform(end) for end in interval)
    return Interval(value, low, high)


def _mean(event: Mapping[str, Any], scores: Scores | None, unit: str) -> Interval:
    """Return nats per unit and their interval, the latter NaN where it is not known."""
    if scores is not None:
        return mean_interval(scores["nats"], scores[unit])
    ends = nats_interval(event) if unit == "targets" else (math.nan, math.nan)
    return Interval(nats_per(event, unit), *ends)


def nats_interval(event: Mapping[str, Any]) -> tuple[float, float]:
    """Return the 95% interval of an event's nats per token, NaN where it has none."""
    ends = event.get("interval")
    if not isinstance(ends, list) or len(ends) != 2:
        return math.nan, math.nan
    low, high = (math.log(end) if (end := number(each)) > 0 else math.nan for each in ends)
    return low, high


def nats_per(event: Mapping[str, Any], unit: str) -> float:
    """Return an event's nats per unit, NaN where it has none."""
    return number(event.get("nats")) / (number(event.get(unit)) or math.nan)


def _difference(
    first: Mapping[str, Any],
    last: Mapping[str, Any],
    first_scores: Scores | None,
    last_scores: Scores | None,
    unit: str,
) -> Interval:
    if (
        first_scores is not None
        and last_scores is not None
        and np.array_equal(first_scores["document"], last_scores["document"])
        and np.array_equal(first_scores[unit], last_scores[unit])
    ):
        return mean_interval(last_scores["nats"] - first_scores["nats"], first_scores[unit])
    return Interval(nats_per(last, unit) - nats_per(first, unit))


def number(value: Any) -> float:
    """Return a finite number of a file as float; NaN for null and for all else."""
    try:
        found = float(value) if isinstance(value, int | float) else math.nan
    except OverflowError:  # JSON has whole numbers of any size
        return math.nan
    return found if math.isfinite(found) else math.nan
