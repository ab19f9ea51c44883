"""A loop at a terminal: type a text, see it continued; the model is loaded once."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, get_origin

from nextfill.cli.tables import Streamed, show_texts
from nextfill.config import GenerateConfig
from nextfill.config.layers import Assignment
from nextfill.config.options import settings
from nextfill.config.resolve_inference import generate_config
from nextfill.core.errors import NextfillError, nearest
from nextfill.core.signals import is_ctrl_c
from nextfill.core.streams import as_utf8, print_error, printable

if TYPE_CHECKING:
    from nextfill.generation.generate import Session

ASK = "> "
SET_HERE = {
    setting.flag.removeprefix("--"): setting
    for setting in settings(GenerateConfig)
    if setting.path[0] in ("seed", "generation")
}
"""The settings that can be changed between two texts, by the name that is typed."""

HELP = f"""\
Type a text to have it continued; the same text again gives another continuation.
Ctrl-C ends a continuation, Ctrl-D leaves. /NAME VALUE changes a setting, as in /temperature 0.8
or /greedy on, and /NAME alone puts it back: {", ".join(SET_HERE)}."""


def converse(given: Sequence[Assignment], problems: Sequence[str] = ()) -> None:
    """Continue one line after another until there are none.

    At a terminal it asks for each, and a line that begins with ``/`` changes a setting. Elsewhere
    every line is a prompt, and nothing but the texts is printed.
    """
    config = generate_config(given, problems)
    from nextfill.generation.generate import open_session  # brings PyTorch

    session = open_session(config)
    for note in session.loaded.notes:
        _tell(note)
    if sys.stdin.isatty() and sys.stdout.isatty():
        _at_terminal(session, given, config)
    else:
        _over_lines(session, config)


def _over_lines(session: Session, config: GenerateConfig) -> None:
    lines = (as_utf8(line.rstrip("\n"), sys.stdin.encoding) for line in sys.stdin)
    prompts = enumerate(lines, start=1)
    for count, (number, text) in enumerate((n, text) for n, text in prompts if text):
        if count:
            print("---")
        _answer(session, config, text, f"line {number}")


def _at_terminal(session: Session, given: Sequence[Assignment], config: GenerateConfig) -> None:
    with suppress(ImportError):  # gives `input` its line editing, where there is one
        import readline  # noqa: F401
    _tell(f"{session.loaded.name}: type a text to have it continued, or /help. Ctrl-D leaves.")
    changed: dict[str, Assignment] = {}
    while True:
        try:
            text = as_utf8(input(ASK), sys.stdin.encoding)
            if text == "/help":
                _tell(HELP)
            elif text.startswith("/"):
                asked = _change(text[1:], changed)
                config = generate_config([*given, *asked.values()])
                changed = asked  # only now, because a change may be refused
                session.seen.clear()
            elif text:
                _answer(session, config, text, "")
        except NextfillError as error:
            _tell(str(error))
        except KeyboardInterrupt:
            if not is_ctrl_c():
                raise
            print()
        except EOFError:
            print()
            return


def _answer(session: Session, config: GenerateConfig, text: str, where: str) -> None:
    from nextfill.generation.prompts import PromptText

    prompt = [PromptText(text, where)]
    if config.generation.num_samples > 1:
        return show_texts(list(session.texts(prompt, config)))
    stream = Streamed(text)
    for _ in session.texts(prompt, config, on_text=stream):
        stream.end()
    return None


def _change(typed: str, changed: Mapping[str, Assignment]) -> dict[str, Assignment]:
    """Return the changes to the settings with the one that was typed, or without it."""
    name, _, value = typed.strip().partition(" ")
    if name not in SET_HERE:
        names = ["/" + known for known in SET_HERE]
        raise NextfillError(f"There is no setting /{name}.{nearest('/' + name, names)} Type /help.")
    others = {other: given for other, given in changed.items() if other != name}
    if not value.strip():
        return others
    setting = SET_HERE[name]
    taken = [value] if get_origin(setting.kind) is list else value.strip()
    return others | {name: Assignment(setting.path, taken, f"/{name}")}


def _tell(message: str) -> None:
    print_error(printable(message))
