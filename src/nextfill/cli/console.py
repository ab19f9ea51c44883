"""The terminal's console, and texts on it: generated, coloured token by token, or filled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from nextfill.cli.word_marks import marked_text, marks_legend
from nextfill.core.amounts import amount
from nextfill.core.streams import printable, to_stdout
from nextfill.evaluation.token_view import ScoredText, ScoredToken, drawn_tokens
from nextfill.rendering.result_cards import (
    CHANGE_LEVELS,
    COST_LEVELS,
    answer_text,
    level,
    probability_text,
)

if TYPE_CHECKING:
    from nextfill.filling.fill import Answer, Filled

DEARER = ("", "#fbe6d4", "#f5c9a3", "#eba76c", "#dd843a", "#c9631a")
"""Backgrounds from cheap to dear, on which black is read; blue and orange look different to all."""

CHEAPER = ("", "#dbe8f7", "#a9cbef", "#6fa6e0")
WORSE = ("", "#fbe6d4", "#f0b98a", "#dd843a")

BAR_WIDTH = 8
"""Characters of a bar for a probability of 1."""

MOST_AROUND = 24
"""Characters of a text that are shown on either side of a blank."""

MOST_OF_TITLE = 72
"""Characters of a text in the title of its answers."""


class _Screen(Console):
    def print(self, *objects: Any, **options: Any) -> None:
        """Print; raise our own error where standard output cannot be written."""
        with to_stdout():
            super().print(*objects, **options)

    def on_broken_pipe(self) -> None:
        """Raise an error for the caller, instead of ending the process with status 1."""
        raise BrokenPipeError


def console() -> Console:
    """Return a console that shows text as it is: no highlighting, no emoji codes."""
    return _Screen(highlight=False, emoji=False, soft_wrap=True)


def say(text: str) -> None:
    """Print text from models or data, with its control characters made harmless."""
    console().print(printable(text), markup=False)


def show_texts(results: Sequence[Any]) -> None:
    """Print generated texts, a line between them."""
    show = TextPrinter()
    for entry in results:
        show(entry if isinstance(entry, list) else [entry])


class TextPrinter:
    """Prints texts as they come, a line between them."""

    def __init__(self) -> None:
        self._number = 0

    def __call__(self, texts: Sequence[Mapping[str, str]]) -> None:
        """Print the texts of one prompt."""
        for item in texts:
            if self._number:
                say("---")
            say(item["generated_text"])
            self._number += 1


class StreamPrinter:
    """Prints a prompt and its continuation, piece by piece.

    Args:
        prompt: The prompt; printed with the first piece, and so not before an error.
    """

    def __init__(self, prompt: str) -> None:
        self._waiting = [printable(prompt)]
        self.is_empty = True
        """Whether nothing has come after the prompt."""

    def __call__(self, piece: str) -> None:
        """Print a piece at once."""
        self.is_empty = self.is_empty and not piece
        with to_stdout():
            print(*self._waiting, printable(piece), sep="", end="", flush=True)
        self._waiting.clear()

    def end(self, after: str = "") -> None:
        """End the line, with the text that comes after the continuation."""
        with to_stdout():
            print(*self._waiting, printable(after), sep="", flush=True)


def show_scored_texts(texts: Sequence[ScoredText], other: str | None) -> None:
    """Print texts in colour; where the terminal has none, with their dearest words marked."""
    screen = console()
    # Of 16 colours the steps fall together, and better with worse.
    coloured = screen.color_system in ("256", "truecolor") and not screen.no_color
    compared = any(text.other_nats is not None for text in texts)
    if not coloured:
        screen.print(Text(f"\n{marks_legend(other if compared else None)}"))
    for text in texts:
        screen.print(Text(f"\n{text.heading()}", "bold"))
        shown = Text("" if coloured else marked_text(text.tokens, compared=compared))
        for token, _ in drawn_tokens(text.tokens) if coloured else ():
            shown.append_text(_token_text(token, compared))
        if text.left_out:
            shown.append(f" ... {amount(text.left_out, 'more token')}", "dim")
        screen.print(shown)
    if coloured:
        screen.print(_legend(other if compared else None))


def _token_text(token: ScoredToken, compared: bool) -> Text:
    text = printable(token.text)
    number = token.change if compared else token.nats
    if number is None:
        return Text(text)
    if compared:
        colour = (CHEAPER if number < 0 else WORSE)[level(abs(number), CHANGE_LEVELS)]
    else:
        colour = DEARER[level(number, COST_LEVELS)]
    line = "underline " if compared and number > 0 else ""
    return Text(text, f"{line}black on {colour}" if colour else "")


def _legend(other: str | None) -> Text:
    key = Text("\nnats: ")
    if other is None:
        for at, nats in enumerate(COST_LEVELS, start=1):
            key.append(f" {nats:g} ", f"black on {DEARER[at]}")
        return key.append(" and more")
    for at in range(len(CHANGE_LEVELS), 0, -1):
        key.append(f" -{CHANGE_LEVELS[at - 1]:g} ", f"black on {CHEAPER[at]}")
    for at, nats in enumerate(CHANGE_LEVELS, start=1):
        key.append(f" +{nats:g} ", f"underline black on {WORSE[at]}")
    return key.append(f" beside {printable(other)}")


class AnswerPrinter:
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
    return line if len(line) <= MOST_AROUND else _ellipsis() + line[-MOST_AROUND:]


def _beginning(text: str, most: int = MOST_AROUND) -> str:
    line = _one_line(text)
    return line if len(line) <= most else line[:most] + _ellipsis()


def _ellipsis() -> str:
    return "..." if console().options.ascii_only else "…"


def _one_line(text: str) -> str:
    return printable(text).replace("\n", " ").replace("\t", " ")
