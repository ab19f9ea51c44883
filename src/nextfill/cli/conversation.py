"""A conversation with a causal model: one text after another is continued, at a terminal or not."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, get_origin

from nextfill.config import GenerateConfig
from nextfill.config.options import Assignment, Setting, settings
from nextfill.config.value_types import truth_of
from nextfill.core.errors import ConfigError, NextfillError, nearest
from nextfill.core.signals import is_ctrl_c
from nextfill.core.streams import as_utf8, print_error, printable

if TYPE_CHECKING:
    from nextfill.generation.session import Session

ASK = "> "
_QUIT = frozenset({"exit", "quit", "/exit", "/quit", "exit()", "quit()", ":q", "/q", "/bye"})
"""The lines that leave a conversation, at a terminal or not."""
_FLAG = re.compile(r"--(?P<no>no-)?(?P<name>[a-z][a-z_-]*)(=|\s+|$)(?P<value>\S*)\s*")
_QUOTES = "\"'\u201c\u201d\u201e\u2018\u2019\u201a\u00ab\u00bb"
"""Quotes around a value, those of a word processor too; no shell takes them off here."""


def converse(layer: Sequence[Assignment], problems: Sequence[str] = ()) -> None:
    """Continue one line after another until there are none; the model is loaded once.

    At a terminal it asks for each, and a line that begins with ``/`` changes a setting. Elsewhere
    every line is a prompt, and nothing but the texts is printed.
    """
    from nextfill.config.resolve import generate_config

    config = generate_config(layer, problems)
    from nextfill.generation.session import open_session  # brings PyTorch

    session = open_session(config)
    for note in session.notes:
        say(note)
    if sys.stdin.isatty() and sys.stdout.isatty():
        _at_terminal(session, layer, config)
    else:
        _over_lines(session, config)


def _over_lines(session: Session, config: GenerateConfig) -> None:
    lines = (as_utf8(line.rstrip("\n"), sys.stdin.encoding) for line in sys.stdin)
    count = 0
    for number, text in enumerate(lines, start=1):
        if text.strip().lower() in _QUIT:
            say(f"line {number}: {text.strip()} leaves, and nothing after it is read.")
            return
        if not text:
            say(f"line {number} is empty, and has no answer.")
            continue
        if count:
            print("---")
        count += 1
        _answer(session, config, text, f"line {number}")


def _at_terminal(session: Session, layer: Sequence[Assignment], config: GenerateConfig) -> None:
    from nextfill.config.resolve import generate_config

    with suppress(ImportError):  # gives `input` its line editing, where there is one
        import readline  # noqa: F401
    say(f"{session.loaded.name}: type a text to have it continued, or /help; /quit leaves.")
    changes: dict[str, Assignment] = {}
    while True:
        try:
            text = as_utf8(input(ASK), sys.stdin.encoding)
            if text.strip().lower() in _QUIT:
                return
            if text == "/help":
                say(_interactive_help())
            elif text.startswith("/"):
                changed = _change(text[1:], changes)
                config = generate_config([*layer, *changed.values()])
                say(_taken(text[1:].split()[0], changed))
                changes = changed  # only now, because a change may be refused
                session.seen.clear()
            elif again := _as_change(text):
                say(f"A setting is changed with a slash here. Type: {again}")
            elif text:
                _answer(session, config, text, "")
        except ConfigError as error:
            say(_as_typed_here(str(error)))
        except NextfillError as error:
            say(str(error))
        except KeyboardInterrupt:
            if not is_ctrl_c():
                raise
            print()
            say("/quit leaves.")
        except EOFError:
            print()
            return


def _answer(session: Session, config: GenerateConfig, text: str, where: str) -> None:
    from nextfill.cli.console import StreamPrinter, show_texts
    from nextfill.generation.prompts import PromptText

    prompt = [PromptText(text, where)]
    if config.generation.num_samples > 1:
        return show_texts(list(session.texts(prompt, config)))
    stream = StreamPrinter(text)
    for _ in session.texts(prompt, config, on_text=stream):
        stream.end(config.generation.suffix or "")
    if stream.is_empty and not where:
        say(ended_at_once(config, "the same prompt again gives another sample"))
    return None


@cache
def _interactive_settings() -> dict[str, Setting]:
    """Return the settings that may change between two texts, by the names to type."""
    return {
        setting.flag.removeprefix("--"): setting
        for setting in settings(GenerateConfig)
        if setting.path[0] in ("seed", "generation")
    }


def _interactive_help() -> str:
    return f"""\
Type a text to have it continued; the same text again gives another continuation.
Ctrl-C ends a continuation; exit, quit or Ctrl-D leaves. /NAME VALUE changes a setting, as in
/temperature 0.8 or /greedy on, and /NAME alone puts it back:
{", ".join(_interactive_settings())}."""


def _change(typed: str, changes: Mapping[str, Assignment]) -> dict[str, Assignment]:
    """Return the changes to the settings with the one that was typed, or without it."""
    name, _, value = typed.strip().partition(" ")
    known = _interactive_settings()
    if name not in known:
        hint = nearest("/" + name, ["/" + one for one in known])
        raise NextfillError(f"There is no setting /{name}.{hint} Type /help.")
    others = {other: change for other, change in changes.items() if other != name}
    if not value.strip():
        return others
    setting = known[name]
    if "str" not in str(setting.kind):  # a text may well begin and end with quotes
        value = value.strip().strip(_QUOTES)
    taken = [value] if get_origin(setting.kind) is list else value.strip()
    taken = truth_of(taken) if setting.kind is bool else taken
    return others | {name: Assignment(setting.path, taken, f"/{name}")}


def _as_change(text: str) -> str:
    """Return the line that changes the setting whose flag was typed, or "" for any other text."""
    found = _FLAG.fullmatch(text.strip())
    name = found["name"].replace("_", "-") if found else ""
    setting = _interactive_settings().get(name)
    if found is None or setting is None:
        return ""
    value = found["value"]
    if setting.kind is bool:
        value = "off" if found["no"] else value or "on"
    return f"/{name} {value}".strip()


def _taken(name: str, changes: Mapping[str, Assignment]) -> str:
    """Return what is said of a setting that was changed or put back."""
    if name not in changes:
        return f"/{name} is as it was at the beginning."
    value = changes[name].value
    if isinstance(value, bool):
        value = "on" if value else "off"
    return f"/{name} is {value[0] if isinstance(value, list) else value} from here on."


def _as_typed_here(message: str) -> str:
    """Return a message on settings with their flags as they are typed between two texts."""

    def here(flag: re.Match[str]) -> str:
        setting = _interactive_settings().get(flag["name"])
        if setting is None:
            return flag[0]
        switch = (" off" if flag["no"] else " on") if setting.kind is bool else ""
        return f"/{flag['name']}{switch}"

    return re.sub(r"--(?P<no>no-)?(?P<name>[a-z][a-z-]*[a-z])", here, message)


def say(message: str) -> None:
    """Print a message beside the texts."""
    print_error(printable(message))


def ended_at_once(config: GenerateConfig, another: str) -> str:
    """Return what is said where nothing comes after a prompt, with the way to another text."""
    who = "the text ended" if config.generation.stop else "the model ended its text"
    ended = f"{who} at once"
    return f"{ended}; {another}" if config.generation.samples else ended
