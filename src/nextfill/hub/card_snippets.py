"""Markdown of a model's card: escaped text, and code that uses the shared model."""

from __future__ import annotations

import re

from nextfill.core.text_safety import printable


def escaped(text: object) -> str:
    r"""Return text for a line of Markdown: every mark that Markdown reads stands for itself.

    Example:
        >>> print(escaped("a_b <script> `x`"))
        a\_b \<script\> \`x\`
    """
    line = " ".join(printable(str(text)).split())
    return re.sub(r"([\\`*_\[\]<>|~&!#$@])", r"\\\1", line)


def fenced(text: str, language: str = "") -> str:
    """Return a block of code that no line of the text can end.

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
    """Return a table; the cells are Markdown already.

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


PLACE = "USER/NAME"
"""Stands in a card for the repository, until it is known."""

_PLACES = (
    re.compile(rf'^((?:generate|fill) = pipeline\(.*, model="){PLACE}(?="\)$)', re.MULTILINE),
    re.compile(rf"(```sh\nnextfill (?:generate|fill) ){PLACE}(?= )"),
)

_PYTHON = {
    "causal": [
        f'generate = pipeline("text-generation", model="{PLACE}")',
        'print(generate("Once upon a time")[0]["generated_text"])',
    ],
    "masked": [
        f'fill = pipeline("fill-mask", model="{PLACE}")',
        'print(fill(f"Once upon a {fill.tokenizer.mask_token}")[0]["sequence"])',
    ],
}
_SHELL = {
    "causal": f'nextfill generate {PLACE} "Once upon a time"',
    "masked": f'nextfill fill {PLACE} "Once upon a ___"',
}


def usage(objective: str, *, is_adapter: bool, base_is_shared: bool) -> str:
    """Return the lines that use a model, as Markdown."""
    command = fenced(_SHELL[objective], "sh")
    if is_adapter and not base_is_shared:
        return f"The model it is for is not on the Hub, so that it needs Nextfill:\n\n{command}"
    lines = ["from transformers import pipeline", *_PYTHON[objective]]
    needs = "An adapter needs `pip install peft` beside transformers.\n\n" if is_adapter else ""
    return f"{needs}{fenced(chr(10).join(lines), 'python')}\n\n{command}"


def with_repository(card: str, repo: str) -> str:
    """Return a card with the repository's name in the lines that use it."""
    for place in _PLACES:  # the first of each; what follows is text of the model's
        card = place.sub(lambda found: found[1] + repo, card, count=1)
    return card
