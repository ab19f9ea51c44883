"""Filled blanks as a person reads them at a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from nextfill.display import answer_text, probability_text
from nextfill.plain import printable
from nextfill.show.console import console

if TYPE_CHECKING:
    from nextfill.infer.filling.fill import Answer, Filled

BAR_WIDTH = 8
"""Characters of a bar that stands for certainty."""

MOST_AROUND = 24
"""Characters of a text that are shown on either side of a blank."""

MOST_OF_TITLE = 72
"""Characters of a text that stand above its answers."""


class FilledTexts:
    """Prints texts as their blanks are filled: a table for each blank, an answer a line."""

    def __call__(self, filled: Filled) -> None:
        """Print the answers of one text."""
        pieces = filled.blanks.pieces
        for number, answers in enumerate(filled.answers):
            before = "___".join(pieces[: number + 1])
            after = "___".join(pieces[number + 1 :])
            console().print(_table(answers, before, after, _title(filled, number)))


def _title(filled: Filled, number: int) -> Text:
    count = len(filled.answers)
    which = f"Blank {number + 1} of {count} in: " if count > 1 else ""
    return Text(which + _beginning(" ".join(filled.blanks.text.split()), MOST_OF_TITLE))


def _table(answers: list[Answer], before: str, after: str, title: Text) -> Table:
    several = any(isinstance(answer["token"], list) for answer in answers)
    table = Table(title=title, title_justify="left", title_style="bold")
    table.add_column("answer", overflow="fold")
    table.add_column("per token" if several else "probability", justify="right")
    table.add_column("", no_wrap=True)
    table.add_column("text", overflow="fold")
    for answer in answers:
        word = answer_text(answer["token_str"])
        text = Text.assemble(_end(before), (f"[{word}]", "bold"), _beginning(after))
        table.add_row(Text(word), probability_text(answer["score"]), _bar(answer["score"]), text)
    return table


def _bar(share: float) -> str:
    return ("#" if console().options.ascii_only else "█") * round(BAR_WIDTH * share)


def _end(text: str) -> str:
    line = _one_line(text)
    return line if len(line) <= MOST_AROUND else _cut_off() + line[-MOST_AROUND:]


def _beginning(text: str, most: int = MOST_AROUND) -> str:
    line = _one_line(text)
    return line if len(line) <= most else line[:most] + _cut_off()


def _cut_off() -> str:
    return "..." if console().options.ascii_only else "…"


def _one_line(text: str) -> str:
    return printable(text).replace("\n", " ").replace("\t", " ")
