"""The seconds of one training to the best loss of another."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

FIGURES = ("seconds", "processor_s")


def best(figures: Mapping[str, Any]) -> dict[str, float]:
    """Return the best score of a run."""
    found: dict[str, float] = min(figures["scores"], key=lambda one: one["loss"])
    return found


def reached(figures: Mapping[str, Any], loss: float) -> dict[str, float] | None:
    """Return the first score of a run that is no higher than a loss, None where there is none."""
    return next((one for one in figures["scores"] if one["loss"] <= loss), None)


def ratio(peer: Mapping[str, Any], ours: Mapping[str, Any]) -> dict[str, float] | None:
    """Return a peer's seconds to its best score by ours to that, None if ours never gets there."""
    goal = best(peer)
    there = reached(ours, goal["loss"])
    if there is None:
        return None
    plain = {figure: goal[figure] / there[figure] for figure in FIGURES}
    whole = {
        f"{figure} from start": (goal[figure] + peer["before"][figure])
        / (there[figure] + ours["before"][figure])
        for figure in FIGURES
    }
    return {**plain, **whole}


def medians(ratios: Sequence[Mapping[str, float] | None]) -> dict[str, float] | None:
    """Return the medians of the ratios of several seeds, a loss never come to being the worst."""
    names = next((list(one) for one in ratios if one is not None), [])
    worst = dict.fromkeys(names, 0.0)
    found = {name: statistics.median((one or worst)[name] for one in ratios) for name in names}
    return found if any(found.values()) else None
