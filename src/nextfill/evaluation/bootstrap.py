"""Intervals of means over tokens, words or bytes by the bootstrap, with documents as the sample."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Z_95 = 1.959963984540054
"""Standard normal quantile of a two-sided 95% interval."""

T_95 = (12.706205, 4.302653, 3.182446, 2.776445, 2.570582, 2.446912, 2.364624, 2.306004)
"""The same quantiles of Student's t with 1 to 8 degrees of freedom."""

FEWEST_RESAMPLED = len(T_95) + 2
"""Documents from which on they are resampled; fewer repeat one another too often for that."""

RESAMPLES = 2000
MOST_DRAWS = 40_000_000
"""Draws in all: of more than 20,000 documents the normal interval is as good, and takes no time."""

FARTHEST = 7.0
"""Standard errors between the value and an end at most.

A resample without the few documents that differ has no spread at all, and would put the end
anywhere; Student's interval of 10 documents is 2.3 standard errors to each side.
"""

_AT_ONCE = 2**21


class Interval(NamedTuple):
    """A value and the ends of its 95% interval, NaN where it has none."""

    value: float
    low: float = math.nan
    high: float = math.nan

    @property
    def has_ends(self) -> bool:
        """Whether the interval is known and finite."""
        return math.isfinite(self.low) and math.isfinite(self.high)


def mean_and_error(nats: NDArray[np.float64], sizes: NDArray[np.int64]) -> tuple[float, float]:
    """Return nats per unit and their standard error.

    Args:
        nats: Nats of each document, ``[D] float64``, or the difference between two models.
        sizes: Each document's tokens, words or bytes, ``[D] int64``.

    Returns:
        ``sum(nats) / sum(sizes)``, and the standard error of a ratio estimator with documents as
        the sampling unit, because tokens of one document are not independent. The error is NaN for
        a single document, both are where all sizes are 0.

    Source:
        Cochran 1977, Sampling Techniques, section 6.3 (variance of a ratio).

    Example:
        >>> mean_and_error(np.array([2.0, 4.0]), np.array([1, 2]))
        (2.0, 0.0)
    """
    if sizes.sum() == 0:
        return math.nan, math.nan
    ratio = _Ratio(nats, sizes)
    return ratio.value, _error([ratio], [1.0])


def mean_interval(nats: NDArray[np.float64], sizes: NDArray[np.int64]) -> Interval:
    """Return nats per unit with a 95% interval.

    Documents are drawn with replacement 2,000 times, always the same ones, and each resample's
    distance from the mean is measured in its own standard errors: where a few long documents weigh
    much, a resample without them is close and thinks itself sure, which this takes into account and
    the quantiles of the resampled means do not. Fewer than 10 documents have Student's interval,
    more than 20,000 the normal one.

    Args:
        nats: Nats of each document, ``[D] float64``, or the difference between two models.
        sizes: Each document's tokens, words or bytes, ``[D] int64``.

    Returns:
        The mean and its interval; without ends for a single document.

    Source:
        Efron and Tibshirani 1993, An Introduction to the Bootstrap, section 12.5 (bootstrap-t);
        the unit is the document, a cluster of tokens.

    Example:
        >>> mean_interval(np.array([2.0, 4.0]), np.array([1, 2]))
        Interval(value=2.0, low=2.0, high=2.0)
    """
    if sizes.sum() == 0:
        return Interval(math.nan)
    return _interval([_Ratio(nats, sizes)], [1.0])


def difference_interval(
    first: tuple[NDArray[np.float64], NDArray[np.int64]],
    second: tuple[NDArray[np.float64], NDArray[np.int64]],
) -> Interval:
    """Return the difference in nats per unit between two models, with a 95% interval.

    Both were measured on the same documents, so that the difficulty of a document for both is no
    part of the uncertainty: documents are resampled as pairs.

    Args:
        first: Nats of each document by one model, ``[D] float64``, and its sizes, ``[D] int64``.
        second: The same by the other; the sizes may differ, as tokens of two tokenizers do.

    Returns:
        Second less first, with the interval as in `mean_interval`.

    Example:
        >>> sizes = np.array([1, 2])
        >>> difference_interval((np.array([2.0, 4.0]), sizes), (np.array([1.0, 2.0]), sizes))
        Interval(value=-1.0, low=-1.0, high=-1.0)
    """
    if first[1].sum() == 0 or second[1].sum() == 0:
        return Interval(math.nan)
    return _interval([_Ratio(*second), _Ratio(*first)], [1.0, -1.0])


class _Ratio:
    """A sum of nats over a sum of sizes, and each document's residual from its share."""

    def __init__(self, nats: NDArray[np.float64], sizes: NDArray[np.int64]) -> None:
        self.total = float(sizes.sum())
        self.value = float(nats.sum()) / self.total
        self.sizes = sizes.astype(np.float64)
        self.residual = nats - self.value * self.sizes


def _error(ratios: Sequence[_Ratio], signs: Sequence[float]) -> float:
    """Return the standard error of ratios added up with signs; NaN for a single document."""
    count = len(ratios[0].sizes)
    if count < 2:
        return math.nan
    each = sum(sign * one.residual / one.total for sign, one in zip(signs, ratios, strict=True))
    return math.sqrt(float(np.dot(each, each)) * count / (count - 1))


def _interval(ratios: Sequence[_Ratio], signs: Sequence[float]) -> Interval:
    mean = sum(sign * one.value for sign, one in zip(signs, ratios, strict=True))
    error, count = _error(ratios, signs), len(ratios[0].sizes)
    if math.isnan(error):
        return Interval(mean)
    if count < FEWEST_RESAMPLED:
        return Interval(mean, mean - T_95[count - 2] * error, mean + T_95[count - 2] * error)
    if error == 0 or count * RESAMPLES > MOST_DRAWS:
        return Interval(mean, mean - Z_95 * error, mean + Z_95 * error)
    distances = _distances(ratios, np.array(signs))
    low, high = np.quantile(distances, [0.025, 0.975]).tolist()
    return Interval(mean, mean - high * error, mean - low * error)


def _distances(ratios: Sequence[_Ratio], signs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return each resample's distance from the value, in its own standard errors."""
    least = 1e-6 * _error(ratios, signs.tolist())
    random = np.random.Generator(np.random.Philox(key=0))
    count = len(ratios[0].sizes)
    columns = np.stack(
        [one.residual for one in ratios] + [one.sizes for one in ratios], axis=1
    )  # [D, 2K]
    products = (columns[:, :, None] * columns[:, None, :]).reshape(count, -1)
    distances = []
    rows = max(1, _AT_ONCE // count)
    for first in range(0, RESAMPLES, rows):
        some = min(rows, RESAMPLES - first)
        drawn = random.integers(0, count, (some, count)) + count * np.arange(some)[:, None]
        times = np.bincount(drawn.ravel(), minlength=some * count).reshape(some, count)
        above, below = np.split(times @ columns, 2, axis=1)  # [some, K] each
        squares = (times @ products).reshape(some, columns.shape[1], -1)
        with np.errstate(divide="ignore", invalid="ignore"):
            shift = above / below
            weight = np.concatenate([signs / below, -signs * shift / below], axis=1)
            spread = np.einsum("ri,rij,rj->r", weight, squares, weight)
            # Less is a rest of subtraction: all documents of the resample are one.
            error = np.maximum(np.sqrt(np.maximum(spread, 0) * count / (count - 1)), least)
            distance = np.nan_to_num((shift @ signs) / error)  # without a size there is no ratio
            distances.append(np.clip(distance, -FARTHEST, FARTHEST))
    return np.concatenate(distances)
