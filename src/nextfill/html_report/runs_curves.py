"""The curves of several runs over one axis: of steps, of tokens, or of time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nextfill.evaluation.metrics import exp_or_inf, nats_interval, nats_per
from nextfill.html_report.figures_table import note
from nextfill.rendering.html import Html, element, join
from nextfill.rendering.line_chart import Series, line_chart
from nextfill.rendering.loss_curves import LEAST_SMOOTHED, Array, moving_ratio, ratio, window_of
from nextfill.runs.reader import RunFacts
from nextfill.runs.run_pairs import held_out_of

NUM_COLOURS = 5
AXES = {"steps": "step", "tokens": "token", "seconds": "second"}
"""The axes, and the unit of each beside its ticks."""


def runs_curves(runs: Sequence[RunFacts], names: Sequence[str]) -> Html:
    """Draw losses and held-out perplexities of runs over steps, over tokens and over time."""
    charts = []
    for axis, label in AXES.items():
        losses = [
            _loss(one, name, at, axis)
            for at, (one, name) in enumerate(zip(runs, names, strict=True))
        ]
        ends = [
            _perplexity(one, name, at, axis)
            for at, (one, name) in enumerate(zip(runs, names, strict=True))
        ]
        charts += [
            line_chart(f"Loss by {axis}", losses, unit="nats per token", x_label=label),
            line_chart(
                f"Held-out perplexity by {axis}",
                [one for one in ends if one is not None],
                unit="per token",
                x_label=label,
            ),
        ]
    if not any(charts):
        return Html("")
    notes = ["Losses of more than ten steps are smoothed, as on the page of each run. "]
    notes.append("Upright lines are 95% intervals over documents. ")
    if len(runs) > NUM_COLOURS:
        notes.append("There are more runs than colours, which begin again.")
    return join([element("div", *charts, class_="charts"), note(*notes)])


def _along(facts: RunFacts, axis: str) -> Array:
    """Return the place of each step on an axis, from that of no step on, ``[steps + 1]``."""
    steps = np.concatenate([[0.0], facts.steps["step"]])
    if axis == "steps":
        return steps
    key = {"tokens": "tokens", "seconds": "elapsed_s"}[axis]
    order = np.argsort(facts.timing["step"], kind="stable")
    sums = np.concatenate([[0.0], np.cumsum(facts.timing[key][order])])
    at = np.searchsorted(facts.timing["step"][order], steps, side="right")
    placed: Array = sums[at]
    return placed


def _loss(facts: RunFacts, name: str, at: int, axis: str) -> Series:
    steps = facts.steps
    values = ratio(steps["nats"], steps["targets"])
    if len(values) > LEAST_SMOOTHED:
        values = moving_ratio(steps["nats"], steps["targets"], window_of(len(values)))
    places = _along(facts, axis)[1:].tolist()
    figure, colour = f"curve/{axis}/loss/{at}", 1 + at % NUM_COLOURS
    return Series(name, places, values.tolist(), colour=colour, figure=figure)


def _perplexity(facts: RunFacts, name: str, at: int, axis: str) -> Series | None:
    one = held_out_of(facts)
    if one is None:
        return None
    along = _along(facts, axis)
    steps = np.concatenate([[0.0], facts.steps["step"]])
    places = [
        float(along[np.searchsorted(steps, event["step"], side="right") - 1])
        for event in one.events
    ]
    ends = [nats_interval(event) for event in one.events]
    return Series(
        name,
        places,
        [exp_or_inf(nats_per(event, "targets")) for event in one.events],
        [exp_or_inf(low) for low, _ in ends],
        [exp_or_inf(high) for _, high in ends],
        style="points",
        colour=1 + at % NUM_COLOURS,
        figure=f"curve/{axis}/perplexity/{at}",
    )
