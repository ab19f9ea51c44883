"""Results as text for a prompt, and as a card for a notebook's cell."""

from __future__ import annotations

from collections.abc import Sequence

from nextfill.core.text_safety import printable
from nextfill.rendering.html import STYLE, Html, element, html_table, join

Rows = Sequence[Sequence[str]]


def figure_text(value: float) -> str:
    """Return a figure with three decimals, or three digits where it is huge.

    Example:
        >>> figure_text(52.78123), figure_text(1.5e9), figure_text(float("nan"))
        ('52.781', '1.5e+09', 'nan')
    """
    return f"{value:,.3f}" if not abs(value) >= 1e6 else f"{value:.3g}"


def text_table(title: str, header: Sequence[str], rows: Rows) -> str:
    """Return a table in plain text, its first column to the left and the others to the right.

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
    """Return a notebook's view of a result, with the rules that it needs and no other."""
    blocks = [element("div", part, style="margin:.6em 0") for part in parts if part]
    heading = element("strong", title)
    place = "max-width:52em;padding:.4em .6em"
    whole = element("div", heading, *blocks, class_="nextfill", style=place)
    return element("style", Html(STYLE)) + whole


def card_lines(lines: Sequence[object]) -> Html:
    """Return lines for a card, one below the other; their text is escaped."""
    return element("div", *(element("div", line) for line in lines))


def sample_parts(prompt: str, text: str) -> tuple[str, str]:
    """Return what a model was given and what it went on with; of filled blanks, all is its own.

    Example:
        >>> sample_parts("Once upon", "Once upon a time"), sample_parts("A ___ day", "A [new] day")
        (('Once upon', ' a time'), ('', 'A [new] day'))
    """
    return (prompt, text[len(prompt) :]) if text.startswith(prompt) else ("", text)


def card_sample(prompt: str, text: str) -> Html:
    """Return a generated text for a card, its prompt set apart and its lines kept."""
    given, made = sample_parts(prompt, text)
    told = ("Sample: ", element("strong", given), made)
    return element("div", *told, style="white-space:pre-wrap")


def card_text(heading: str, tokens: Sequence[tuple[str, str | None, str | None]]) -> Html:
    """Return a text on a card, each token with its style and with what the mouse tells of it."""
    spans = [element("span", text, style=style, title=title) for text, style, title in tokens]
    style = "white-space:pre-wrap;overflow-wrap:anywhere;margin:.2em 0 1em;line-height:1.7"
    return join([element("p", heading, class_="nf-note"), element("p", *spans, style=style)])


def card_table(header: Sequence[str], rows: Rows) -> Html:
    """Return a table for a card; its text is escaped."""
    return html_table(header, [[cell.strip() for cell in row] for row in rows])


def size_text(size_bytes: float) -> str:
    """Return a size with a unit that suits it.

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
    """Return how long ago something was.

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
    r"""Return an answer as it is shown: white space and what cannot be seen by their names.

    Example:
        >>> answer_text(" spiral"), answer_text("\n"), answer_text("a\nb")
        ('spiral', "'\\n'", 'a b')
    """
    return " ".join(printable(token).split()) or repr(token)


def probability_text(probability: float) -> str:
    """Return a probability with three digits that say something.

    Example:
        >>> probability_text(0.41234), probability_text(1.0), probability_text(0.0000123)
        ('0.412', '1.000', '1.2e-05')
    """
    return f"{probability:.3f}" if probability >= 0.001 else f"{probability:.1e}"
