"""Results as plain text, as a card in a notebook, and texts coloured by their tokens' nats."""

from __future__ import annotations

import math
from collections.abc import Sequence

from nextfill.core.streams import printable
from nextfill.rendering.html import STYLE, Html, element, html_table, join

Rows = Sequence[Sequence[str]]

COST_LEVELS = (0.5, 1.5, 3.0, 5.0, 8.0)
"""Nats of a token at which the next deeper colour begins."""

CHANGE_LEVELS = (0.25, 1.0, 2.5)
"""Nats of change, up or down, at which the next deeper colour begins."""

COST_SHARES = (0, 14, 32, 52, 75, 100)
"""Depth of the colour at each level, in percent of the deepest."""

CHANGE_SHARES = (0, 26, 64, 95)
"""The same for changes."""


def figure_text(value: float) -> str:
    """Format a figure with three decimals, whole if it is large, with three digits if it is huge.

    Example:
        >>> figure_text(52.78123), figure_text(105136.055), figure_text(float("nan"))
        ('52.781', '105,136', 'nan')
        >>> figure_text(3.9e6), figure_text(1.5e15)
        ('3,900,000', '1.5e+15')
    """
    if abs(value) >= 1e12:
        return f"{value:.3g}"
    return f"{value:,.0f}" if abs(value) >= 1e4 else f"{value:,.3f}"


def ratio_text(value: float, of: float) -> str:
    """Format a ratio with three decimals, or as one part of many where these would tell nothing.

    Example:
        >>> ratio_text(42.1, 52.8), ratio_text(2.342, 105136.055), ratio_text(9e5, 2.0)
        ('0.797', '1 / 44,892', '450,000')
    """
    if 0 < value < of / 1000:
        return f"1 / {figure_text(of / value).partition('.')[0]}"
    return figure_text(value / of if of else math.nan)


def text_table(title: str, header: Sequence[str], rows: Rows) -> str:
    """Format a table in plain text, its first column to the left and the others to the right.

    Example:
        >>> print(text_table("Found", ["", "before"], [["perplexity", "52.8"]]))
        Found
                      before
          perplexity    52.8
    """
    lines = [[printable(cell).replace("\n", " ") for cell in row] for row in [header, *rows] if row]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        [title]
        + [
            "  ".join(
                ["", *(c.rjust(w) if at else c.ljust(w) for at, (c, w) in enumerate(cells))]
            ).rstrip()
            for cells in (list(zip(line, widths, strict=True)) for line in lines)
        ]
    )


def card(title: str, *parts: Html) -> str:
    """Return a notebook's view of a result, with its style sheet."""
    blocks = [element("div", part, style="margin:.6em 0") for part in parts if part]
    heading = element("strong", title)
    style = "max-width:52em;padding:.4em .6em"
    body = element("div", heading, *blocks, class_="nextfill", style=style)
    return element("style", Html(STYLE)) + body


def card_lines(lines: Sequence[object]) -> Html:
    """Return lines of a card, one below the other."""
    return element("div", *(element("div", line) for line in lines))


def sample_parts(prompt: str, text: str) -> tuple[str, str]:
    """Split a generated text into its prompt and the rest; a text of filled blanks has no prompt.

    Example:
        >>> sample_parts("Once upon", "Once upon a time"), sample_parts("A ___ day", "A [new] day")
        (('Once upon', ' a time'), ('', 'A [new] day'))
    """
    return (prompt, text[len(prompt) :]) if text.startswith(prompt) else ("", text)


def card_sample(prompt: str, text: str) -> Html:
    """Return a generated text of a card, its prompt in bold."""
    prefix, generated = sample_parts(prompt, text)
    parts = ("Sample: ", element("strong", prefix), generated)
    return element("div", *parts, style="white-space:pre-wrap")


def card_text(heading: str, tokens: Sequence[tuple[str, str | None, str | None]]) -> Html:
    """Return a text of a card from its tokens, each with its style and tooltip."""
    spans = [element("span", text, style=style, title=title) for text, style, title in tokens]
    style = "white-space:pre-wrap;overflow-wrap:anywhere;margin:.2em 0 1em;line-height:1.7"
    return join([element("p", heading, class_="nf-note"), element("p", *spans, style=style)])


def card_table(header: Sequence[str], rows: Rows) -> Html:
    """Return a table of a card."""
    return html_table(header, [[cell.strip() for cell in row] for row in rows])


def size_text(size_bytes: float) -> str:
    """Format a size with a fitting unit.

    Example:
        >>> size_text(999), size_text(15_300_000)
        ('999 B', '15.3 MB')
    """
    for unit in ("B", "kB", "MB", "GB"):
        if size_bytes < 1000:
            return f"{size_bytes:.0f} B" if unit == "B" else f"{size_bytes:.1f} {unit}"
        size_bytes /= 1000
    return f"{size_bytes:.1f} TB"


def age_text(age_s: float) -> str:
    """Format an age in days, hours or minutes.

    Example:
        >>> age_text(90), age_text(3 * 86400)
        ('1 minute ago', '3 days ago')
    """
    for name, seconds in (("day", 86400), ("hour", 3600), ("minute", 60)):
        number = int(age_s // seconds)
        if number:
            return f"{number} {name}{'s' if number > 1 else ''} ago"
    return "just now"


def answer_text(token: str) -> str:
    r"""Format a model's answer on one line, an invisible one by its escapes.

    Example:
        >>> answer_text(" spiral"), answer_text("\n"), answer_text("a\nb")
        ('spiral', "'\\n'", 'a b')
    """
    return " ".join(printable(token).split()) or repr(token)


def probability_text(probability: float) -> str:
    """Format a probability with three decimals, or two digits if it is tiny.

    Example:
        >>> probability_text(0.41234), probability_text(1.0), probability_text(0.0000123)
        ('0.412', '1.000', '1.2e-05')
    """
    return f"{probability:.3f}" if probability >= 0.001 else f"{probability:.1e}"


def level(nats: float, levels: Sequence[float]) -> int:
    """Return the number of levels that a value has reached.

    Example:
        >>> level(2.0, COST_LEVELS)
        2
    """
    return sum(nats >= each for each in levels)


def token_style(nats: float, change: float | None) -> str | None:
    """Return the style of a token: orange by its nats, or blue and orange by their change.

    None means no style.

    Example:
        >>> token_style(9.0, -3.0)
        'background:color-mix(in srgb,var(--nf-1) 57%,transparent)'
    """
    if change is None:
        share, colour = COST_SHARES[level(nats, COST_LEVELS)], 2
    else:
        share = CHANGE_SHARES[level(abs(change), CHANGE_LEVELS)]
        colour = 1 if change < 0 else 2
    if not share:
        return None
    line = ";text-decoration:underline dotted" if change is not None and change > 0 else ""
    return f"background:color-mix(in srgb,var(--nf-{colour}) {0.6 * share:.0f}%,transparent){line}"


def token_css() -> str:
    """Return the CSS of a page's tokens, with a rule for each level of each view.

    Example:
        >>> token_css().partition("{")[0]
        '.tokens[data-view="after"] .a1'
    """
    costs = {'[data-view="after"] .a': 2, '[data-view="before"] .b': 2, " .key .c": 2}
    changes = {
        '[data-view="change"] .g': 1,
        " .key .g": 1,
        '[data-view="change"] .w': 2,
        " .key .w": 2,
    }
    rules = [
        f".tokens{place}{step}{{background:color-mix(in srgb,var(--nf-{colour}) "
        f"calc(var(--most)*{share}%),transparent)}}"
        for places, shares in ((costs, COST_SHARES), (changes, CHANGE_SHARES))
        for place, colour in places.items()
        for step, share in enumerate(shares)
        if share
    ]
    return "\n".join(rules) + "\n"
