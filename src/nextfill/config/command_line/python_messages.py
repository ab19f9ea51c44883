"""Messages that name flags, rewritten as a Python program types the same settings."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, get_args

from nextfill.config.command_line.python_calls import calls_in
from nextfill.config.options import Setting, settings
from nextfill.core.errors import ConfigError, Interrupted, NextfillError

_COMMAND = re.compile(r"nextfill'? [a-z]+ [^\n]*")
"""A command that is no call, and stays: to its line's end, for what follows is not told from it."""
_FLAG = re.compile(
    r"--(?P<no>no-)?(?P<name>[a-z][a-z0-9-]*[a-z0-9])"
    r"(?P<rest>[ =](?P<value>'[^'\n]*'|\S+))?"
)
_EXAMPLE = re.compile(r"\b(for example|[Tt]ype:?|instead:) \Z")
"""Ends what stands before a flag whose value is one, and no word of the sentence's own."""
_NUMBER = re.compile(r"-?\d[\d_]*(\.\d+)?(e-?\d+)?")
_ENDS = ".,:;)'"
_SWITCHES = ("quiet", "resume", "rewarm")
"""Arguments of verbs that are flags of commands, and no settings."""

_PROSE = frozenset(
    word
    for line in (
        "a above adapts again alone and another are as asks at before begins belongs beside both",
        "but by can cannot changes choose compares divide does else failed follows for found from",
        "gives goes has have here hides holds if in instead is it leave makes may means meant",
        "moves must names needs no nor not of on only or out reads says set slides so stands stays",
        "takes tells than that the there they this to too twice was weighs were what where",
        "which while with without would",
    )
    for word in line.split()
)
"""Words of a sentence after a flag, which are none of its values."""

_called: ContextVar[type | None] = ContextVar("called", default=None)
"""The settings of the verb that a Python program called, where one did."""


def in_keywords(message: str, root: type) -> str:
    """Rewrite the flags of a message as keyword arguments.

    Args:
        message: The message, as the command line shows it.
        root: The settings of the verb that was called.

    Example:
        >>> from nextfill.config import TrainConfig
        >>> in_keywords("Name another field with --text-field.", TrainConfig)
        'Name another field with text_field=.'
        >>> in_keywords("--stride 9: lower it, or give --packing pad --no-isolate", TrainConfig)
        'stride=9: lower it, or give packing="pad" isolate=False'
        >>> in_keywords("Name the text, for example --text-field answers.text", TrainConfig)
        'Name the text, for example text_field="answers.text"'
    """
    known: dict[str, Setting | None] = {one.keyword: one for one in settings(root)}
    known |= dict.fromkeys(_SWITCHES)
    parts: list[str] = []
    end = 0
    for start, stop, call in [*calls_in(message), (len(message), len(message), "")]:
        if start >= end:
            parts += [_but_commands(message[end:start], known), call]
            end = stop
    return "".join(parts)


def _but_commands(text: str, known: Mapping[str, Setting | None]) -> str:
    """Rewrite the flags of a text, but for those of commands that stay."""
    parts: list[str] = []
    end = 0
    for command in _COMMAND.finditer(text):
        parts += [_rewritten(text[end : command.start()], known), command[0]]
        end = command.end()
    return "".join([*parts, _rewritten(text[end:], known)])


def as_called(message: str) -> str:
    """Return a message with flags as a command's user types them, or as the program's call does.

    Example:
        >>> as_called("Name it with --data.")
        'Name it with --data.'
    """
    root = _called.get()
    return message if root is None else in_keywords(message, root)


def is_called() -> bool:
    """Tell whether a Python program called the verb, and no command.

    Example:
        >>> is_called()
        False
    """
    return _called.get() is not None


def _rewritten(text: str, known: Mapping[str, Setting | None]) -> str:
    def keyword(match: re.Match[str]) -> str:
        name, is_off = match["name"].replace("-", "_"), bool(match["no"])
        if is_off and f"no_{name}" in known:  # as --no-repeat-ngram-size is named
            name, is_off = f"no_{name}", False
        rest = match["rest"] or ""
        if name not in known:
            return match[0]
        setting = known[name]
        if setting is None or setting.kind is bool:
            after = text[match.end("name") :]
            return name + ("" if after.startswith(":") else f"={not is_off}") + rest
        if is_off:
            return match[0]
        value = match["value"] or ""
        whole = value.startswith("'") or not value.strip(".")  # the folder one stands in
        value = value if whole else value.rstrip(_ENDS)
        is_value = value not in _PROSE or _EXAMPLE.search(text, 0, match.start()) is not None
        if written := _value(value, setting) or (_example(value, setting) if is_value else ""):
            return f"{name}={written}{match['value'][len(value) :]}"
        return f"{name}{'' if text[match.end('name') :].startswith(':') else '='}{rest}"

    return _FLAG.sub(keyword, text)


def _value(word: str, setting: Setting) -> str:
    """Return a word as a value is written in Python, or nothing if it is none."""
    if _NUMBER.fullmatch(word):
        return word
    if word.startswith("'") and word.endswith("'") and len(word) > 1:
        return word
    if "/" in word and setting.kind is str:
        return repr(word)
    choices = [one for one in get_args(setting.kind) if isinstance(one, str)]
    placeholder = re.fullmatch(r"[A-Z][A-Z_/.:]+", word)
    return f'"{word}"' if word in choices or placeholder else ""


def _example(word: str, setting: Setting) -> str:
    """Return the word of an example as a text in Python, if that is what the setting takes."""
    return repr(word).replace("'", '"') if word and setting.kind is str else ""


def _public_kind(kind: type) -> type:
    """Return an error's type, or the public one that it is a kind of within the package."""
    return next(one for one in kind.__mro__ if one.__module__ == NextfillError.__module__)


@contextmanager
def keyword_errors(root: type) -> Iterator[None]:
    """Rewrite the flags in errors that leave the block; their types, causes and fields stay."""
    outer = _called.set(root)
    try:
        yield
    except (NextfillError, Interrupted) as error:
        if isinstance(error, ConfigError):
            error.__init__([in_keywords(one, root) for one in error.problems])  # type: ignore[misc]
        elif error.args and isinstance(error.args[0], str):
            arguments: list[Any] = [in_keywords(error.args[0], root), *error.args[1:]]
            error.args = tuple(arguments)
        error.__class__ = _public_kind(type(error))  # the same error, with cause and traceback
        raise
    finally:
        _called.reset(outer)
