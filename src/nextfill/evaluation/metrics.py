"""Metrics derived from document scores, and their change from one evaluation to another."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nextfill.config import Objective, PseudoMetric
from nextfill.core.errors import DataError
from nextfill.data.store.token_store import TokenStore
from nextfill.evaluation.bootstrap import Interval, mean_and_error, mean_interval
from nextfill.evaluation.figures import Evaluation, PseudoFigures
from nextfill.evaluation.scores import DocumentScores

Scores = Mapping[str, NDArray[Any]]
"""An evaluation's arrays by name, one entry per document."""

NO_GROUP = "(none)"
"""The group of documents with nothing in the field."""


def summarize(
    scores: DocumentScores,
    objective: Objective = "causal",
    pseudo_metric: PseudoMetric | None = None,
) -> Evaluation:
    """Derive every figure from the scores of at least one document."""
    nats, targets = float(scores.nats.sum()), int(scores.targets.sum())
    words, size = int(scores.words.sum()), int(scores.bytes.sum())
    characters = int(scores.characters.sum())
    mean, low, high = mean_nats(scores.nats, scores.targets)
    per_text: dict[str, Any] = {
        "word_perplexity": exp_or_inf(nats / words) if words else math.nan,
        "byte_perplexity": exp_or_inf(nats / size) if size else math.nan,
        "character_perplexity": exp_or_inf(nats / characters) if characters else math.nan,
        "bits_per_byte": nats / math.log(2) / size if size else math.nan,
    }
    pseudo = None
    if pseudo_metric is not None:
        pseudo = PseudoFigures(pseudo_metric, -nats, exp_or_inf(mean), **per_text)
    if objective == "masked":
        per_text = dict.fromkeys(per_text, math.nan)
    return Evaluation(
        nats=nats,
        targets=targets,
        documents=len(scores.nats),
        words=words,
        bytes=size,
        characters=characters,
        perplexity=exp_or_inf(mean),
        **per_text,
        standard_error=mean_and_error(scores.nats, scores.targets)[1],
        interval=(exp_or_inf(low), exp_or_inf(high)),
        accuracy=int(scores.correct.sum()) / targets,
        objective=objective,
        pseudo=pseudo,
    )


def mean_nats(nats: NDArray[np.float64], sizes: NDArray[np.int64]) -> Interval:
    """Return nats per unit with a 95% interval, which ends at 0: no text costs less than none."""
    value, low, high = mean_interval(nats, sizes)
    return Interval(value, max(low, 0.0), high)


def summarize_part(
    scores: DocumentScores,
    store: TokenStore,
    *,
    by: str | None,
    objective: Objective,
    pseudo_metric: PseudoMetric | None = None,
) -> Evaluation:
    """Derive every figure of documents, and of their groups by a field, most targets first."""
    whole = summarize(scores, objective, pseudo_metric)
    if by is None:
        return whole
    groups = {
        name: summarize(scores[members], objective, pseudo_metric)
        for name, members in groups_of(scores.document, store, by).items()
    }
    return replace(whole, groups=dict(sorted(groups.items(), key=lambda item: -item[1].targets)))


def groups_of(
    documents: NDArray[np.int64], store: TokenStore, by: str
) -> dict[str, NDArray[np.bool_]]:
    """Mark the documents of each group, which have one value of a field, ``[documents] bool``."""
    column = store.columns(by)
    if column is None:
        raise DataError(f"--by {by}: the data have no fields beside their text.")
    group_of = np.array([column[number] or NO_GROUP for number in documents.tolist()])
    return {str(name): group_of == name for name in np.unique(group_of)}


def exp_or_inf(value: float) -> float:
    """Return e to the value, infinity where no float64 holds it."""
    try:
        return math.exp(value)
    except OverflowError:
        return math.inf


@dataclass(frozen=True)
class Measure:
    """One figure at the first evaluation and the last.

    Args:
        key: Its name in the evaluation's events.
        over: Its denominator: ``targets``, ``words``, ``characters`` or ``bytes``.
        before: At the first evaluation.
        after: At the last; None while there is only one.
        change: The difference, or for a perplexity the percentage; None while there is only one.
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
"""Of each figure its denominator, and how it and its change follow from nats per unit."""


def compare_evaluations(
    first: Mapping[str, Any],
    last: Mapping[str, Any] | None,
    first_scores: Scores | None = None,
    last_scores: Scores | None = None,
) -> list[Measure]:
    """Compare the events of two evaluations of the same documents, leaving out undefined figures.

    Without the scores of its documents only the perplexity of an evaluation has an interval. With
    both, the change is measured document by document, which is far more certain than the difference
    of two intervals suggests.
    """
    measures = []
    for key, (unit, show, show_change) in MEASURES.items():
        before = _transformed(_mean(first, first_scores, unit), show)
        # A masked model scores a part of the tokens, and so nothing per word or byte.
        per_text = unit != "targets" and first.get("objective") == "masked"
        if math.isnan(before.value) or per_text:
            continue
        after = change = None
        if last is not None:
            after = _transformed(_mean(last, last_scores, unit), show)
            difference = difference_of(first, last, first_scores, last_scores, unit)
            change = _transformed(difference, show_change)
        measures.append(Measure(key, unit, before, after, change))
    return measures


def _transformed(interval: Interval, transform: Transform) -> Interval:
    value, low, high = (math.nan if math.isnan(end) else transform(end) for end in interval)
    return Interval(value, low, high)


def _mean(event: Mapping[str, Any], scores: Scores | None, unit: str) -> Interval:
    """Return nats per unit and their interval, whose ends are NaN where they are unknown."""
    if scores is not None:
        return mean_nats(scores["nats"], scores[unit])
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


def difference_of(
    first: Mapping[str, Any],
    last: Mapping[str, Any],
    first_scores: Scores | None,
    last_scores: Scores | None,
    unit: str = "targets",
) -> Interval:
    """Return the change in nats per unit, document by document, with its 95% interval.

    Without the scores of the same documents in both evaluations it has no interval.
    """
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
        finite = isinstance(value, int | float) and math.isfinite(value)
    except OverflowError:  # JSON has whole numbers of any size
        return math.nan
    return float(value) if finite else math.nan
