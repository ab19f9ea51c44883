"""Loss curves of a run, and the one smoothing of losses for terminal, notebook and report."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from nextfill.rendering.html import Html
from nextfill.rendering.line_chart import Series, line_chart, thin

Array = NDArray[np.float64]

LEAST_WINDOW = 5
"""Steps in the window of a smoothed value, at least."""

WINDOWS_PER_RUN = 25
"""Windows in a long curve."""

LEAST_SMOOTHED = 10
"""Steps up to which a curve is not smoothed."""

_MOST_POINTS = 300
"""Points of a curve, so that a notebook stays small."""


def window_of(num_steps: int) -> int:
    """Return the number of steps in the window of a smoothed value.

    Example:
        >>> window_of(60), window_of(1000)
        (5, 40)
    """
    return max(LEAST_WINDOW, num_steps // WINDOWS_PER_RUN)


def moving_ratio(above: Array, below: Array, window: int) -> Array:
    """Return at each step the ratio of sums over the window that ends there.

    Args:
        above: Numerators such as nats, ``[steps] float64``.
        below: Denominators such as targets, ``[steps] float64``.
        window: Steps in a window, fewer at the beginning.

    Returns:
        ``[steps] float64``.

    Example:
        >>> moving_ratio(np.array([2.0, 6.0, 4.0]), np.ones(3), 2)
        array([2., 4., 5.])
    """

    def sums(values: Array) -> Array:
        total: Array = np.concatenate([[0.0], np.cumsum(np.nan_to_num(values))])
        before: Array = total[np.maximum(np.arange(1, len(total)) - window, 0)]
        return total[1:] - before

    return ratio(sums(above), sums(below))


def ratio(above: Array, below: Array) -> Array:
    """Return a ratio, infinite or NaN where the denominator is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.divide(above, below)


def smoothed(nats: Sequence[float], targets: Sequence[float]) -> list[float]:
    """Return the smoothed loss of each step, in nats per target.

    Example:
        >>> smoothed([20.0, 30.0], [10, 30])
        [2.0, 1.25]
    """
    values = np.asarray(nats, float), np.asarray(targets, float)
    return [float(value) for value in moving_ratio(*values, window_of(len(nats)))]


def newest_smoothed(nats: Sequence[float], targets: Sequence[float]) -> float:
    """Return the smoothed loss of the last step alone, in nats per target.

    Example:
        >>> newest_smoothed([20.0, 30.0], [10, 30])
        1.25
    """
    window = window_of(len(nats))
    values = np.asarray(nats[-window:], float), np.asarray(targets[-window:], float)
    return float(moving_ratio(*values, window)[-1])


@dataclass
class Curves:
    """The points of a run's curves so far.

    Args:
        losses: Nats per target of each step.
        nats: Sum over the targets of each step.
        scored: Events of the evaluations, by the name of the evaluated set.
    """

    steps: list[int] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    nats: list[float] = field(default_factory=list)
    targets: list[float] = field(default_factory=list)
    scored: dict[str, list[Mapping[str, Any]]] = field(default_factory=dict)

    def add(self, event: Mapping[str, Any]) -> None:
        """Add one event of ``events.jsonl``; events without a curve are ignored.

        Example:
            >>> curves = Curves()
            >>> curves.add({"event": "step", "step": 1, "nats": 6.0, "targets": 3})
            >>> curves.losses
            [2.0]
        """
        if event["event"] == "step":
            self.steps.append(event["step"])
            self.losses.append(event["nats"] / max(1, event["targets"]))
            self.nats.append(event["nats"])
            self.targets.append(event["targets"])
        elif event["event"] == "evaluation":
            self.scored.setdefault(event.get("set", "held-out"), []).append(event)
        elif event["event"] == "validation":
            self.scored.setdefault("validation", []).append(event)

    def loss_chart(self, *, height_px: int = 180) -> Html:
        """Draw nats per token by step; empty before the first point."""
        enough = len(self.losses) > LEAST_SMOOTHED
        series = [self._training("training", self.losses, "faint" if enough else "line")]
        if enough:
            smooth = smoothed(self.nats, self.targets)
            series.append(self._training("training, smoothed", smooth, "line"))
        shown = [one for one in [*series, *self._scored(logarithm=True)] if one.x]
        return line_chart("Loss", shown, unit="nats per token", height_px=height_px)

    def _training(self, name: str, values: list[float], style: Literal["line", "faint"]) -> Series:
        places = thin(values, _MOST_POINTS)
        x, y = [self.steps[at] for at in places], [values[at] for at in places]
        return Series(name, x, y, style=style)

    def perplexity_chart(self, *, height_px: int = 180) -> Html:
        """Draw the perplexities of the evaluated sets, with their 95% intervals."""
        series = self._scored(logarithm=False)
        return line_chart("Perplexity, with 95% interval", series, height_px=height_px)

    def _scored(self, *, logarithm: bool) -> list[Series]:
        def at(value: float | None) -> float:
            value = math.nan if value is None else value
            return math.log(value) if logarithm and value > 0 else value

        series = []
        for number, (name, events) in enumerate(self.scored.items()):
            intervals = [event.get("interval") or (None, None) for event in events]
            series.append(
                Series(
                    name,
                    [event["step"] for event in events],
                    [at(event["perplexity"]) for event in events],
                    [at(low) for low, _ in intervals],
                    [at(high) for _, high in intervals],
                    style="points",
                    colour=2 + number % 4,
                )
            )
        return series


def curves_of(events: Sequence[Mapping[str, Any]]) -> Curves:
    """Gather the curves of a run's events."""
    curves = Curves()
    for event in events:
        curves.add(event)
    return curves
