"""A smoothed loss: one rule for the terminal, a notebook and the report."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

LEAST_WINDOW = 5
"""Steps that a smoothed value is over, at least."""

WINDOWS_PER_RUN = 25
"""Windows that a long curve holds."""

LEAST_SMOOTHED = 10
"""Steps up to which a curve is not smoothed."""


def window_of(num_steps: int) -> int:
    """Return how many steps a smoothed value is over, of a run of so many.

    Example:
        >>> window_of(60), window_of(1000)
        (5, 40)
    """
    return max(LEAST_WINDOW, num_steps // WINDOWS_PER_RUN)


def moving_ratio(above: Array, below: Array, window: int) -> Array:
    """Return the ratio of sums over the last steps, of as many as there are at the beginning.

    Args:
        above: Such as nats, ``[steps] float64``.
        below: Such as targets, ``[steps] float64``.
        window: Steps that a value is over.

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
    """Return a ratio, infinite or NaN where it is divided by 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        found: Array = above / below
    return found


def smoothed(nats: Sequence[float], targets: Sequence[float]) -> list[float]:
    """Return the smoothed loss of each step so far.

    Example:
        >>> smoothed([20.0, 30.0], [10, 30])
        [2.0, 1.25]
    """
    values = np.asarray(nats, float), np.asarray(targets, float)
    return [float(value) for value in moving_ratio(*values, window_of(len(nats)))]


def newest_smoothed(nats: Sequence[float], targets: Sequence[float]) -> float:
    """Return the smoothed loss of the last step, without computing those before it.

    Example:
        >>> newest_smoothed([20.0, 30.0], [10, 30])
        1.25
    """
    window = window_of(len(nats))
    values = np.asarray(nats[-window:], float), np.asarray(targets[-window:], float)
    return float(moving_ratio(*values, window)[-1])
