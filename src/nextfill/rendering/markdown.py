"""Markdown of text that is not ours: lines, blocks of code and tables, escaped."""

from __future__ import annotations

import re

from nextfill.core.streams import printable


def escaped(text: object) -> str:
    r"""Escape text for a line of Markdown.

    Example:
        >>> print(escaped("a_b <script> `x`"))
        a\_b \<script\> \`x\`
    """
    line = " ".join(printable(str(text)).split())
    return re.sub(r"([\\`*_\[\]<>|~&!#$@])", r"\\\1", line)


def fenced(text: str, language: str = "") -> str:
    """Return a code block whose fence is longer than any in the text.

    Example:
        >>> print(fenced("```"))
        ````
        ```
        ````
    """
    text = printable(text).strip("\n")
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def table(header: list[str], rows: list[list[str]]) -> str:
    """Return a table of cells that are Markdown already.

    Example:
        >>> print(table(["a", "b"], [["1", "2"]]))
        | a | b |
        |---|---|
        | 1 | 2 |
    """
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(
        f"|{'|'.join(cells)}|" if at == 1 else f"| {' | '.join(cells)} |"
        for at, cells in enumerate(lines)
    )
