"""What a run's events have of the router of a mixture of experts, step by step."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from nextfill.evaluation.metrics import number
from nextfill.runs.evaluated_sets import Event

ROUTER_KEYS = ("step", "router_loss", "busiest", "mean")
"""A router's figures of a step: its loss, the load of the busiest expert in the least even layer
and in the mean of the layers."""


def router_steps(steps: Sequence[Event]) -> Mapping[str, NDArray[np.float64]]:
    """Return an array for each of `ROUTER_KEYS`, an entry per step; NaN where a step has none.

    Example:
        >>> event = {"step": 1, "expert_load": [1.0, 2.0]}
        >>> found = router_steps([event])
        >>> [float(found[key][0]) for key in ("busiest", "mean")]
        [2.0, 1.5]
    """
    rows = [_figures(one) for one in steps]
    columns = zip(*rows, strict=True) if rows else ([] for _ in ROUTER_KEYS)
    return {
        key: np.array(list(column), np.float64)
        for key, column in zip(ROUTER_KEYS, columns, strict=True)
    }


def _figures(event: Event) -> tuple[float, ...]:
    load = event.get("expert_load")
    loads = [number(one) for one in load] if isinstance(load, list) else []
    return (
        number(event.get("step")),
        number(event.get("router_loss")),
        max(loads, default=math.nan),
        sum(loads) / len(loads) if loads else math.nan,
    )
