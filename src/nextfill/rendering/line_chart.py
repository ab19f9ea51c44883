"""Line charts as inline SVG, with round ticks, light and dark by CSS, readable at any width.

A chart is as wide as its place and its text keeps its size: positions are percentages, and only the
curves themselves are stretched. `nextfill.rendering.html.STYLE` has the rules.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from nextfill.rendering.chart_axes import Axis, step_axis, tick_labels, value_axis
from nextfill.rendering.html import Html, element

MOST_ON_A_LINE = 1000
"""Points drawn of a curve."""

MOST_MARKED = 200
"""Points drawn of a curve with a mark for each."""

MOST_LARGE_MARKS = 40
HEIGHT_PX = 210
STRETCHED = 1000
"""Width and height of the coordinates of curves, whatever the size of the chart."""


@dataclass(frozen=True)
class Series:
    """One curve of a chart.

    Args:
        name: Its name in the legend.
        x: Positions, such as steps.
        y: Values; those that are not finite are left out, and counted under the chart.
        low: Lower ends of the values' intervals, if there are any.
        high: Upper ends.
        style: A ``line``, a ``faint`` one behind others, or ``points`` with their intervals.
        colour: 1 to 5.
        figure: Its name for checks of the page's figures.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None
    style: Literal["line", "faint", "points"] = "line"
    colour: int = 1
    figure: str | None = None


def line_chart(
    title: str,
    series: Sequence[Series],
    *,
    unit: str = "",
    x_label: str = "step",
    log_y: bool = False,
    from_zero: bool = False,
    height_px: int = HEIGHT_PX,
) -> Html:
    """Draw curves over a common axis.

    Example:
        >>> chart = line_chart("Loss", [Series("training", [1, 2], [2.5, 2.25])], unit="nats")
        >>> chart.startswith('<figure class="nf-chart">'), 'data-y="2.5 2.25"' in chart
        (True, True)
    """
    whole = [one for one in (_drawable(one, log_y) for one in series) if one.y]
    if not whole:
        return Html("")
    most = {"points": MOST_MARKED}
    drawn = [_at(one, thin(one.y, most.get(one.style, MOST_ON_A_LINE))) for one in whole]
    x_axis = step_axis(min(min(one.x) for one in drawn), max(max(one.x) for one in drawn))
    ends = [end for one in drawn for end in (*(one.low or ()), *(one.high or ()))]
    values = [y for one in drawn for y in one.y] + [0.0] * from_zero
    y_axis = value_axis(values, ends, log=log_y)
    svg = element(
        "svg",
        element("title", f"{title}{f', {unit}' if unit else ''}, by {x_label}"),
        element("desc", " ".join(_described(one, x_label) for one in whole)),
        *_grid(x_axis, y_axis, x_label),
        *(_curve(one, x_axis, y_axis) for one in drawn),
        role="img",
        width="100%",
        height=height_px,
    )
    return element(
        "figure",
        _caption(title, unit, series, log_y=log_y),
        element(
            "div",
            svg,
            class_="nf-plot",
            data_range=f"{x_axis.low} {x_axis.high}",
            data_unit=x_label,
        ),
        *(element("p", note, class_="nf-note") for note in _notes(series, whole, drawn)),
        class_="nf-chart",
    )


def thin(values: Sequence[float], most: int) -> list[int]:
    """Return positions that keep the look of a curve: both ends, and the extremes of each stretch.

    Example:
        >>> thin([0, 0, 9, 0, 0, 0, -9, 0, 0, 0], 6)
        [0, 2, 5, 6, 9]
    """
    count = len(values)
    if count <= most:
        return list(range(count))
    stretches = (most - 2) // 2
    chosen = {0, count - 1}
    for number in range(stretches):
        stretch = range(count * number // stretches, count * (number + 1) // stretches)
        chosen.add(min(stretch, key=values.__getitem__))
        chosen.add(max(stretch, key=values.__getitem__))
    return sorted(chosen)


def _notes(series: Sequence[Series], whole: Sequence[Series], drawn: Sequence[Series]) -> list[str]:
    """Describe the points that are not drawn."""
    thinned = [
        f"{part.name}: {len(part.y):,} of {len(one.y):,} points drawn"
        for one, part in zip(whole, drawn, strict=True)
        if len(part.y) < len(one.y)
    ]
    note = "; ".join([*thinned, "the highest and lowest of each stretch are among them."])
    missing = sum(len(one.y) for one in series) - sum(len(one.y) for one in whole)
    left_out = f"Values that cannot be drawn and are left out: {missing:,}."
    return [note] * bool(thinned) + [left_out] * bool(missing)


def _drawable(series: Series, log_y: bool) -> Series:
    places = [
        at
        for at, (x, y) in enumerate(zip(series.x, series.y, strict=True))
        if math.isfinite(x) and math.isfinite(y) and (y > 0 or not log_y)
    ]
    return _at(series, places)


def _at(series: Series, places: Sequence[int]) -> Series:
    def take(values: Sequence[float]) -> list[float]:
        return [values[at] for at in places]

    return replace(
        series,
        x=take(series.x),
        y=take(series.y),
        low=None if series.low is None else take(series.low),
        high=None if series.high is None else take(series.high),
    )


def _described(series: Series, x_label: str) -> str:
    first, last = (f"{series.y[at]:.4g} at {x_label} {series.x[at]:g}" for at in (0, -1))
    return f"{series.name}: {first}, {last}."


def _caption(title: str, unit: str, series: Sequence[Series], *, log_y: bool) -> Html:
    unit = ", ".join(part for part in (unit, "logarithmic" if log_y else "") if part)
    heading = element(
        "span", title, " ", element("span", unit, class_="nf-unit"), class_="nf-title"
    )
    keys = [element("span", _key(one), one.name, class_="nf-key") for one in series]
    return element("figcaption", heading, *(keys if len(keys) > 1 else ()))


def _key(series: Series) -> Html:
    """Return the small picture of a curve in the legend."""
    line = element("line", x1="0", x2="100%", y1="50%", y2="50%", class_=_classes(series))
    parts = [line]
    if series.style == "points":
        parts.append(element("circle", cx="50%", cy="50%", r=3.5, class_=f"nf-c{series.colour}"))
    return element("svg", *parts, aria_hidden="true")


def _classes(series: Series) -> str:
    style = {"line": "nf-line", "faint": "nf-line nf-faint", "points": "nf-line nf-dashed"}
    return f"{style[series.style]} nf-c{series.colour}"


def _grid(x_axis: Axis, y_axis: Axis, x_label: str) -> list[Html]:
    parts = []
    for value, label in zip(y_axis.ticks, tick_labels(y_axis.ticks), strict=True):
        y = f"{100 - y_axis.percent(value):.3f}%"
        parts.append(element("line", x1="0", x2="100%", y1=y, y2=y, class_="nf-grid"))
        parts.append(element("text", label, x=-8, y=y, dy="0.33em", text_anchor="end"))
    for value, label in zip(x_axis.ticks, tick_labels(x_axis.ticks), strict=True):
        x = f"{x_axis.percent(value):.3f}%"
        parts.append(element("text", label, x=x, y="100%", dy="1.6em", text_anchor="middle"))
    parts.append(element("text", x_label, x=-8, y="100%", dy="1.6em", text_anchor="end"))
    return parts


def _curve(series: Series, x_axis: Axis, y_axis: Axis) -> Html:
    places = [
        (x_axis.percent(x), 100 - y_axis.percent(y))
        for x, y in zip(series.x, series.y, strict=True)
    ]
    corners = "L".join(f"{x * STRETCHED / 100:.1f},{y * STRETCHED / 100:.1f}" for x, y in places)
    path = element(
        "path", d=f"M{corners}", class_=_classes(series), vector_effect="non-scaling-stroke"
    )
    frame = {"viewBox": f"0 0 {STRETCHED} {STRETCHED}", "preserveAspectRatio": "none"}
    parts = [element("svg", path, width="100%", height="100%", **frame)]
    if series.style == "points":
        parts += _marks(series, places, y_axis)
    lists = {"x": series.x, "y": series.y, "low": series.low, "high": series.high}
    data = {
        f"data-{name}": None if values is None else " ".join(map(str, values))
        for name, values in lists.items()
    }
    return element("g", *parts, data_figure=series.figure, data_name=series.name, **data)


def _marks(series: Series, places: Sequence[tuple[float, float]], y_axis: Axis) -> list[Html]:
    """Return a circle for each point, over its interval where that is finite."""
    parts = []
    colour = f"nf-c{series.colour}"
    radius = 3.5 if len(places) <= MOST_LARGE_MARKS else 2
    for at, (x, y) in enumerate(places):
        across = f"{x:.3f}%"
        ends = (
            [] if series.low is None or series.high is None else [series.low[at], series.high[at]]
        )
        if ends and all(map(math.isfinite, ends)):
            y1, y2 = (f"{100 - y_axis.percent(end):.3f}%" for end in ends)
            interval = {"x1": across, "x2": across, "y1": y1, "y2": y2}
            parts.append(element("line", class_=f"nf-interval {colour}", **interval))
        parts.append(element("circle", cx=across, cy=f"{y:.3f}%", r=radius, class_=colour))
    return parts
