"""The curves of the report: losses, perplexities, learning rate, gradient norm and speed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from nextfill.evaluation.metrics import exp_or_inf, nats_interval, nats_per
from nextfill.html_report.figures_table import figure, note
from nextfill.rendering.html import Html, element, join
from nextfill.rendering.line_chart import Series, line_chart
from nextfill.rendering.loss_curves import LEAST_SMOOTHED, Array, moving_ratio, ratio, window_of
from nextfill.runs.evaluated_sets import EvaluatedSet
from nextfill.runs.reader import Columns, RunFacts

STEEP = 20.0
"""Ratio of the largest to the smallest value from which an axis is logarithmic."""

OPTIMIZER_LOSS = "curve/loss/optimizer"
SET_COLOURS = (2, 3, 4, 5)


def curves(facts: RunFacts) -> Html:
    """Draw the charts of a run; none before its first step and evaluation."""
    steps, timing = facts.steps, facts.timing
    losses = _losses(facts)
    perplexities = [_exponential(one) for one in losses if one.figure != OPTIMIZER_LOSS]
    at, rate = steps["step"].tolist(), steps["learning_rate"].tolist()
    rates = Series("rate", at, rate, figure="curve/learning_rate")
    ones = np.ones_like(steps["step"])
    norms = _smoothed("grad_norm", steps["step"], steps["grad_norm"], ones)
    speeds = _smoothed("speed", timing["step"], timing["tokens"], timing["elapsed_s"])
    router = facts.router
    charts = [
        line_chart("Loss", losses, unit="nats per token"),
        line_chart("Perplexity", perplexities, unit="per token", log_y=_is_steep(perplexities)),
        line_chart("Learning rate", [rates]),
        line_chart("Gradient norm", norms, unit="before clipping", log_y=_is_steep(norms)),
        line_chart("Load of the experts", _experts(router), unit="even shares"),
        line_chart("Router loss", _of(router, "router_loss", "in the loss"), unit="nats"),
        line_chart("Speed", speeds, unit="tokens per second", from_zero=True),
    ]
    if not any(charts):
        return Html("")
    return join([element("div", *charts, class_="charts"), _explained(facts)])


def _losses(facts: RunFacts) -> list[Series]:
    steps = facts.steps
    found = _smoothed("loss", steps["step"], steps["nats"], steps["targets"], "training, ")
    divided_by_targets = ratio(steps["nats"], steps["targets"])
    if not np.allclose(steps["loss"], divided_by_targets, rtol=1e-9, equal_nan=True):
        at, loss = steps["step"].tolist(), steps["loss"].tolist()
        name = "as the optimizer has it"
        found.append(Series(name, at, loss, style="faint", colour=5, figure=OPTIMIZER_LOSS))
    for place, one in enumerate(facts.sets):
        found.append(_evaluations(one, SET_COLOURS[place % len(SET_COLOURS)]))
    return found


def _smoothed(key: str, step: Array, above: Array, below: Array, prefix: str = "") -> list[Series]:
    """Return the curve of a ratio and, where it is long enough, the smoothed one after it."""
    at, each = step.tolist(), ratio(above, below).tolist()
    alone = Series(f"{prefix}each step", at, each, figure=f"curve/{key}/each")
    if len(each) <= LEAST_SMOOTHED:
        return [alone]
    smooth = moving_ratio(above, below, window_of(len(each))).tolist()
    smoothed = Series(f"{prefix}smoothed", at, smooth, figure=f"curve/{key}/smooth")
    return [replace(alone, style="faint"), smoothed]


def _experts(router: Columns) -> list[Series]:
    """Return the curves of the busiest expert's load; none of a model that has no experts."""
    layers = {"busiest": "least even layer", "mean": "mean of the layers"}
    return [
        replace(one, colour=colour)
        for colour, (key, layer) in enumerate(layers.items(), 1)
        for one in _of(router, key, f"busiest expert, {layer}")
    ]


def _of(router: Columns, key: str, name: str) -> list[Series]:
    """Return the curve of a router's figure, none where no step has it."""
    if not np.isfinite(router[key]).any():
        return []
    at, each = router["step"].tolist(), router[key].tolist()
    return [Series(name, at, each, figure=f"curve/router/{key}")]


def _evaluations(one: EvaluatedSet, colour: int) -> Series:
    means = [nats_per(event, "targets") for event in one.events]
    lows, highs = zip(*(nats_interval(event) for event in one.events), strict=True)
    return Series(
        one.name,
        [event["step"] for event in one.events],
        means,
        list(lows),
        list(highs),
        style="points",
        colour=colour,
        figure=f"curve/loss/{one.name}",
    )


def _exponential(series: Series) -> Series:
    """Return the curve of perplexities of a curve of nats per token."""

    def exp(values: Sequence[float] | None) -> list[float] | None:
        return None if values is None else [exp_or_inf(value) for value in values]

    name = (series.figure or "").replace("curve/loss/", "curve/perplexity/", 1)
    low, high = exp(series.low), exp(series.high)
    return replace(series, y=exp(series.y) or [], low=low, high=high, figure=name)


def _explained(facts: RunFacts) -> Html:
    parts: list[object] = []
    if len(facts.steps["step"]) > LEAST_SMOOTHED:
        window = figure("window", window_of(len(facts.steps["step"])))
        parts += ["Smoothed values are over the last ", window, " steps together. "]
    if np.isfinite(facts.router["busiest"]).any():
        parts.append("A load of one is an even share of the tokens. ")
    if any(math.isfinite(nats_interval(e)[0]) for one in facts.sets for e in one.events):
        parts.append("Upright lines are 95% intervals over documents.")
    return note(*parts) if parts else Html("")


def _is_steep(series: Sequence[Series]) -> bool:
    values = [y for one in series for y in one.y if math.isfinite(y)]
    return bool(values) and min(values) > 0 and max(values) / min(values) > STEEP
