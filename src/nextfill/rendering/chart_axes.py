"""Axes of a chart, linear or logarithmic, with round ticks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

MOST_TICKS = 7

_LEAST = 1e-300
"""Distances up to this are none: their parts are no numbers that divide."""


@dataclass(frozen=True)
class Axis:
    """One axis from low to high, linear or logarithmic, with the values of its labels."""

    low: float
    high: float
    ticks: Sequence[float]
    log: bool = False

    def percent(self, value: float) -> float:
        """Return the position of a value, from 0 at the low end to 100, clipped to the axis.

        Example:
            >>> Axis(1, 100, [1, 10, 100], log=True).percent(10)
            50.0
        """
        low, high = self.low, self.high
        if self.log:
            low, high, value = math.log(low), math.log(high), math.log(max(value, low))
        return min(100.0, max(0.0, 100 * (value - low) / (high - low)))


def step_axis(low: float, high: float) -> Axis:
    """Return an axis of whole numbers that ends with the data, with ticks inside.

    Example:
        >>> step_axis(1, 60).ticks
        [10.0, 20.0, 30.0, 40.0, 50.0, 60.0]
    """
    if low == high:
        low, high = low - 1, high + 1
    step = max(1.0, _round_step(high - low))
    ticks = [step * k for k in range(math.ceil(low / step), math.floor(high / step) + 1)]
    return Axis(low, high, ticks)


def value_axis(
    values: Sequence[float], interval_ends: Sequence[float] = (), *, log: bool = False
) -> Axis:
    """Return an axis from tick to tick over values and, if they are not too long, intervals."""
    low, high = min(values), max(values)
    ends = [end for end in interval_ends if math.isfinite(end) and (end > 0 or not log)]
    if log:
        room = max(high / low, 1.5)
        ticks = log_ticks(max(min([low, *ends]), low / room), min(max([high, *ends]), high * room))
    else:
        room = max(high - low, abs(high) / 10)
        ticks = round_ticks(
            max(min([low, *ends]), low - room), min(max([high, *ends]), high + room)
        )
    return Axis(ticks[0], ticks[-1], ticks, log)


def round_ticks(low: float, high: float) -> list[float]:
    """Return ticks at equal distances, from at most ``low`` to at least ``high``.

    Example:
        >>> round_ticks(2.13, 3.92)
        [2.0, 2.5, 3.0, 3.5, 4.0]
    """
    if high - low <= max(1e-9 * max(abs(low), abs(high)), _LEAST):
        room = abs(high) / 10
        room = room if room > _LEAST else 1.0
        low, high = low - room, high + room
    step = _round_step(high - low)
    digits = max(0, 1 - math.floor(math.log10(step)))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(step * k, digits) for k in range(first, last + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Return ticks at about equal ratios, from at most ``low`` to at least ``high``.

    Example:
        >>> log_ticks(30, 900)
        [20.0, 50.0, 100.0, 200.0, 500.0, 1000.0]
        >>> log_ticks(1e-3, 5e5)
        [0.001, 0.1, 10.0, 1000.0, 100000.0, 10000000.0]
    """
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    for steps in ((1, 1.5, 2, 3, 5, 7), (1, 2, 5), (1,)):
        fine = [float(f"{k}e{power}") for power in range(first - 1, last + 2) for k in steps]
        below = max(tick for tick in fine if tick <= low)
        above = min(tick for tick in fine if tick >= high and tick > below)
        ticks = [tick for tick in fine if below <= tick <= above]
        if len(ticks) <= MOST_TICKS:
            return ticks
    stride = math.ceil((len(ticks) - 1) / (MOST_TICKS - 1))  # of decades
    end = first + stride * math.ceil((last - first) / stride)
    return [float(f"1e{power}") for power in range(first, end + 1, stride)]


def _round_step(span: float) -> float:
    """Return 1, 2 or 5 times a power of ten, 3 to 6 of which make up the span."""
    power = 10.0 ** math.floor(math.log10(span))
    return next(power * k for k in (0.2, 0.5, 1, 2) if span / (power * k) <= 6)


def tick_labels(ticks: Sequence[float]) -> list[str]:
    """Return the labels of ticks, short and in one style for the axis.

    Example:
        >>> tick_labels([0.0, 5e-4, 1e-3]), tick_labels([0.0, 5e-6, 1e-5])
        (['0', '0.0005', '0.001'], ['0', '5e-6', '1e-5'])
        >>> tick_labels([0.0, 500.0, 1000.0]), tick_labels([0.0, 2.5e6]), tick_labels([1e4, 1e12])
        (['0', '500', '1,000'], ['0', '2.5M'], ['1e4', '1e12'])
    """
    largest = max(abs(tick) for tick in ticks)
    return [_label(tick, largest) for tick in ticks]


def _label(tick: float, largest: float) -> str:
    if tick == 0:
        return "0"
    if largest >= 1e9 or largest < 1e-3 or abs(tick) < 1e-5:
        digits, _, power = f"{tick:.9e}".partition("e")
        return f"{float(digits):.10g}e{int(power)}"
    for unit, letter in ((1e6, "M"), (1e3, "k")):
        if largest >= 1e4 and abs(tick) >= unit:
            return f"{tick / unit:.10g}{letter}"
    whole = abs(tick) >= 1000 and tick == round(tick)
    return f"{tick:,.0f}" if whole else f"{tick:.10f}".rstrip("0").rstrip(".")
