"""Every figure of an evaluation, derived from the scores of its documents."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from nextfill.config import Objective, PseudoMetric
from nextfill.core.errors import DataError
from nextfill.data.store.token_store import TokenStore
from nextfill.evaluation.bootstrap import mean_and_error, mean_interval
from nextfill.evaluation.figures import Evaluation, PseudoFigures
from nextfill.evaluation.scores import DocumentScores

NO_GROUP = "(none)"
"""The group of documents that have nothing in the field."""


def summarize(
    scores: DocumentScores,
    objective: Objective = "causal",
    pseudo_metric: PseudoMetric | None = None,
) -> Evaluation:
    """Derive every figure from the scores of the documents."""
    nats, targets = float(scores.nats.sum()), int(scores.targets.sum())
    words, size = int(scores.words.sum()), int(scores.bytes.sum())
    characters = int(scores.characters.sum())
    mean, low, high = mean_interval(scores.nats, scores.targets)
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
        interval=(exp_or_inf(max(low, 0.0)), exp_or_inf(high)),  # no model is surer than sure
        accuracy=int(scores.correct.sum()) / targets,
        objective=objective,
        pseudo=pseudo,
    )


def summarize_groups(
    scores: DocumentScores,
    group_of: Sequence[str],
    objective: Objective = "causal",
    pseudo_metric: PseudoMetric | None = None,
) -> Evaluation:
    """Derive every figure of all documents, and of each group of them."""
    names = np.array(group_of)
    groups = {
        str(name): summarize(scores[names == name], objective, pseudo_metric)
        for name in np.unique(names)
    }
    largest = dict(sorted(groups.items(), key=lambda item: -item[1].targets))
    return replace(summarize(scores, objective, pseudo_metric), groups=largest)


def summarize_part(
    scores: DocumentScores,
    store: TokenStore,
    *,
    by: str | None,
    objective: Objective,
    pseudo_metric: PseudoMetric | None = None,
) -> Evaluation:
    """Derive every figure of some documents, and of each group of them where one is asked for."""
    if by is None:
        return summarize(scores, objective, pseudo_metric)
    names = store.columns(by)
    if names is None:
        raise DataError(f"--by {by}: the data have no fields beside their text.")
    group_of = [names[number] or NO_GROUP for number in scores.document.tolist()]
    return summarize_groups(scores, group_of, objective, pseudo_metric)


def exp_or_inf(value: float) -> float:
    """Return e to the value, infinity where no float64 holds it."""
    try:
        return math.exp(value)
    except OverflowError:
        return math.inf
