"""Pictures of docs/speed.md, as SVG."""

from __future__ import annotations

import math
from html import escape

STYLE = """<style>
text { fill: #24292f } rect { fill: #2f6f9f } line { stroke: #8c959f; stroke-dasharray: 3 3 }
circle { fill: #2f6f9f } path { stroke: #8c959f; fill: none }
@media (prefers-color-scheme: dark) {
text { fill: #d0d7de } rect, circle { fill: #6cb6e6 }
}
</style>"""


def bars(drawn: list[tuple[str, float]], title: str) -> str:
    """Return a picture of how many times as fast each work is, as SVG."""
    most = max(times for _, times in drawn)
    line, left, width = 24, 400, 300
    height = line * len(drawn) + 30
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {left + width + 60} {height}" '
        'role="img" font-family="sans-serif" font-size="12">',
        f"<title>{escape(title)}</title>",
        STYLE,
    ]
    for number, (work, times) in enumerate(drawn):
        y = 8 + line * number
        long = width * times / most
        end = f'x="{left - 8}" y="{y + 13}" text-anchor="end"'
        parts.append(f"<text {end}>{escape(work)}</text>")
        parts.append(f'<rect x="{left}" y="{y}" width="{long:.1f}" height="{line - 8}" rx="2"/>')
        parts.append(f'<text x="{left + long + 6:.1f}" y="{y + 13}">{times:.1f}</text>')
    one = left + width / most
    parts.append(f'<line x1="{one:.1f}" x2="{one:.1f}" y1="2" y2="{height - 20}"/>')
    parts.append(f'<text x="{one:.1f}" y="{height - 6}" text-anchor="middle">as fast</text></svg>')
    return "\n".join(parts) + "\n"


def growth(points: list[tuple[float, float]], title: str, x: str, y: str) -> str:
    """Return a picture of seconds over a size, both by powers of ten, and a line of slope one."""
    width, height, edge = 420, 260, 48
    logs = [(math.log10(a), math.log10(b)) for a, b in points]
    x0, x1 = min(a for a, _ in logs), max(a for a, _ in logs)
    y0, y1 = min(b for _, b in logs), max(b for _, b in logs)
    y1 = max(y1, y0 + 0.1)

    def place(a: float, b: float) -> tuple[float, float]:
        across = edge + (width - 2 * edge) * (a - x0) / (x1 - x0)
        return across, height - edge - (height - 2 * edge) * (b - y0) / (y1 - y0)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        'font-family="sans-serif" font-size="11">',
        f"<title>{escape(title)}</title>",
        STYLE,
    ]
    last = logs[-1]
    low = max(x0, last[0] - (last[1] - y0))
    (ax, ay), (bx, by) = place(low, last[1] - (last[0] - low)), place(*last)
    parts.append(f'<path d="M{ax:.1f} {ay:.1f}L{bx:.1f} {by:.1f}" stroke-dasharray="3 3"/>')
    for (a, b), (size, seconds) in zip(logs, points, strict=True):
        px, py = place(a, b)
        parts.append(f'<circle cx="{px:.1f}" cy="{py:.1f}" r="3.5"/>')
        parts.append(
            f'<text x="{px:.1f}" y="{py - 8:.1f}" text-anchor="middle">{seconds:.3g}</text>'
        )
        parts.append(f'<text x="{px:.1f}" y="{height - 30}" text-anchor="middle">{size:g}</text>')
    parts.append(f'<text x="{width / 2}" y="{height - 10}" text-anchor="middle">{escape(x)}</text>')
    parts.append(f'<text x="10" y="16">{escape(y)} (dashed: in proportion)</text></svg>')
    return "\n".join(parts) + "\n"
