"""`nextfill fill`."""

from __future__ import annotations

import sys
from typing import Any

from nextfill.commands.command import JSON, MODEL, QUIET, Command, observer_of, with_model
from nextfill.config import FillConfig
from nextfill.flags import Argument, CommandLine
from nextfill.plain import printable
from nextfill.streams import print_error

TEXT = Argument("text", "texts, each with a blank: ___, <mask>, [MASK] or the model's own", "*")


def _run_fill(line: CommandLine) -> Any:
    from nextfill.api.filling import fill_from
    from nextfill.resolve.texts import fill_config
    from nextfill.show.filling import FilledTexts

    given, texts = with_model(line), line.arguments.text
    config = fill_config(given, line.problems)
    text = texts[0] if len(texts) == 1 else texts or None
    if line.arguments.json or config.out:
        results = fill_from(given, (), text, observer=observer_of(line))
        if config.out and not line.arguments.quiet:
            print_error(f"written: {printable(config.out)}")
        return results if line.arguments.json else None
    # At a terminal the answers themselves show how far it is.
    observer = None if sys.stdout.isatty() else observer_of(line)
    on_note = observer_of(line).on_note
    fill_from(given, (), text, on_filled=FilledTexts(), on_note=on_note, observer=observer)
    return None


def _show_fill(result: Any) -> None:
    """Show nothing more: texts are shown as they are filled."""


FILL = Command(
    "Fill the blanks of a text with a masked model.",
    FillConfig,
    (MODEL, TEXT, QUIET, JSON),
    _run_fill,
    _show_fill,
)
