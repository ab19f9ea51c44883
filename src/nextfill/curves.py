"""The curves of a run, drawn from what its events hold: training loss, and what is held out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from nextfill.plots import Html, Series, line_chart, thin
from nextfill.smoothing import LEAST_SMOOTHED, smoothed

_MOST_POINTS = 300
"""Points of a curve, so that a notebook stays small."""


@dataclass
class Curves:
    """The points of a run so far.

    Args:
        steps: Optimizer steps taken.
        losses: Nats per target of each.
        nats: Summed over the targets of each.
        targets: Their number.
        scored: Events of the evaluations, by the name of what was scored.
    """

    steps: list[int] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    nats: list[float] = field(default_factory=list)
    targets: list[float] = field(default_factory=list)
    scored: dict[str, list[Mapping[str, Any]]] = field(default_factory=dict)

    def add(self, event: Mapping[str, Any]) -> None:
        """Take in one event of the run, as ``events.jsonl`` has it; what has no curve is ignored.

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
        """Draw nats per token by step; nothing where there is no point yet."""
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
        """Draw the perplexity of what was scored, with its 95% interval."""
        series = self._scored(logarithm=False)
        return line_chart("Perplexity, with 95% interval", series, height_px=height_px)

    def _scored(self, *, logarithm: bool) -> list[Series]:
        def at(value: float | None) -> float:
            value = math.nan if value is None else value
            return math.log(value) if logarithm and value > 0 else value

        found = []
        for number, (name, events) in enumerate(self.scored.items()):
            intervals = [event.get("interval") or (None, None) for event in events]
            found.append(
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
        return found


def curves_of(events: Sequence[Mapping[str, Any]]) -> Curves:
    """Gather the curves of a run's events."""
    curves = Curves()
    for event in events:
        curves.add(event)
    return curves
