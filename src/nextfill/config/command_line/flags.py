"""Flags from the fields of a config class, and a command line back into settings.

argparse stops at the first mistake and knows nothing of near matches, so unknown flags are taken
out before it parses, and values stay text until pydantic has seen them all.
"""

from __future__ import annotations

import argparse
import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from types import MappingProxyType
from typing import Any, NoReturn, get_args, get_origin

from nextfill.config.command_line.curly_quotes import in_curly_quotes
from nextfill.config.command_line.typed_words import (
    argument_for,
    named_twice,
    names_after,
    several_files,
    without_further_names,
    without_loose_values,
)
from nextfill.config.options import Assignment, Setting, settings
from nextfill.core.errors import ConfigError, nearest
from nextfill.core.shell_command import shell_command, shell_word

_DASHES = {"\u2013": "an en dash", "\u2014": "an em dash", "\u2212": "a minus sign"}
_MOST = 20
"""Words after the first that a name is looked for in."""


class _Parser(argparse.ArgumentParser):
    """A parser that raises an error where argparse prints it and exits."""

    def error(self, message: str) -> NoReturn:
        command = shell_command(*self.prog.split()[1:], "--help")
        raise ConfigError([f"{message[:1].upper()}{message[1:]}. See: {command}"])


@dataclass(frozen=True)
class Argument:
    """An argument of a command that is not a setting: a positional, or a flag without a value.

    Args:
        name: A flag, or a positional's name.
        nargs: The number of a positional's words, as argparse takes it.
    """

    name: str
    help: str
    nargs: str | None = None

    @property
    def is_flag(self) -> bool:
        """Whether it is a flag and not a positional."""
        return self.name.startswith("--")


@dataclass(frozen=True)
class CommandLine:
    """A parsed command line: arguments that are not settings, settings, mistakes, and its words."""

    arguments: argparse.Namespace
    settings: list[Assignment]
    problems: list[str]
    words: Sequence[str] = ()


def make_parser(
    name: str,
    summary: str,
    root: type,
    arguments: Sequence[Argument],
    *,
    hidden: Sequence[str] = (),
    quickstart: Mapping[tuple[str, ...], Any] = MappingProxyType({}),
) -> argparse.ArgumentParser:
    """Return the parser of one command; ``quickstart`` holds the defaults with a bundled model."""
    forms = {None: "{} ", "?": "[{}] ", "*": "[{} ...] ", "+": "{} ... "}
    usage = "".join(forms[a.nargs].format(a.name.upper()) for a in arguments if not a.is_flag)
    parser = _Parser(
        prog=f"nextfill {name}",
        usage=f"nextfill {name} {usage}{'[SETTINGS]' if settings(root) else '[FLAGS]'}",
        description=summary,
        allow_abbrev=False,
    )
    for argument in arguments:
        if argument.is_flag:
            parser.add_argument(argument.name, action="store_true", help=argument.help)
        else:
            parser.add_argument(argument.name, nargs=argument.nargs, help=argument.help)
    if settings(root):
        parser.add_argument(
            "--set", action="append", default=[], metavar="KEY=VALUE", help="set any section.key"
        )
    groups: dict[str, Any] = {}
    for setting in settings(root):
        if setting.flag in hidden:
            continue
        section = setting.path[0] if len(setting.path) > 1 else "general"
        if section not in groups:
            groups[section] = parser.add_argument_group(section)
        _add_flag(groups[section], setting, quickstart.get(setting.path))
    return parser


def _add_flag(group: Any, setting: Setting, quickstart: Any = None) -> None:
    text = setting.help.replace("%", "%%")
    differs = quickstart not in (None, setting.default)
    bundled = f"; bundled model: {quickstart!r}" if differs else ""
    form: dict[str, Any]
    if setting.kind is bool:
        text += f" (default: {'on' if setting.default else 'off'})"
        form = {"action": argparse.BooleanOptionalAction}
    else:
        if setting.default is not None:
            text += f" (default: {setting.default!r}{bundled})".replace("%", "%%")
        name = setting.flag.removeprefix("--").upper()
        words = [choice for choice in get_args(setting.kind) if isinstance(choice, str)]
        if get_origin(setting.kind) is list:
            form = {"action": "append", "metavar": name}
        else:
            form = {"metavar": "|".join(words) or name.replace("-", "_")}
    group.add_argument(setting.flag, dest=_destination(setting), help=text, **form)


def _destination(setting: Setting) -> str:
    return "setting " + ".".join(setting.path)


def parse(parser: argparse.ArgumentParser, words: Sequence[str], root: type) -> CommandLine:
    """Parse a command line, collecting its mistakes."""
    if dashed := [one for word in words if (one := _with_dash_of_a_text(parser, word))]:
        raise ConfigError(dashed)
    if curly := in_curly_quotes(words, parser.prog.split()[1:]):
        raise ConfigError([curly])
    typed = words
    words, loose = without_loose_values(_with_hyphens(parser, words))
    known_words, problems = _without_unknown_flags(parser, words)
    problems += loose
    known_words, further = without_further_names(known_words, root, _positionals(parser))
    problems += [*further, *named_twice(known_words, root)]
    try:
        parsed, left_over = parser.parse_known_intermixed_args(known_words)
    except ConfigError as error:
        if any(_argument_for(word.partition("=")[0], words, parser) for word in words):
            raise ConfigError(problems) from error  # what is missing was given as a flag
        from nextfill.config.command_line.missing_arguments import advice_on_missing

        about = parser._actions, parser.prog.split()[1:], known_words
        missing = [advice_on_missing(one, *about) for one in error.problems]
        raise ConfigError([*problems, *missing]) from error
    from nextfill.config.layers import parse_set
    from nextfill.config.problems.conflicts import (
        conflicts,  # not for --help, which has ended above
    )

    if several := several_files(known_words, left_over, _flags_with_value(parser)):
        raise ConfigError([*problems, several])
    if names := list(_names_with_spaces(parser, words)):
        raise ConfigError([*problems, *names])
    problems += [_too_many(word, parser) for word in left_over]
    found: list[Assignment] = []
    for setting in settings(root):
        value = _with_dashes(getattr(parsed, _destination(setting), None))
        if value is not None:
            found.append(Assignment(setting.path, value, setting.flag))
    for text in getattr(parsed, "set", ()):
        item = parse_set(text)
        if isinstance(item, str):
            problems.append(item)
        else:
            found.append(item)
    return CommandLine(parsed, found, [*problems, *conflicts(root, found)], typed)


def _with_hyphens(parser: argparse.ArgumentParser, words: Sequence[str]) -> list[str]:
    """Return the words with hyphens in flags of ours that are typed with underscores."""
    flags = {flag for action in parser._actions for flag in action.option_strings}
    before = [*takewhile(lambda word: word != "--", words)]
    written: list[str] = []
    for word in before:
        flag, mark, value = word.partition("=")
        ours = flag.replace("_", "-")
        written.append(f"{ours}{mark}{value}" if flag.startswith("--") and ours in flags else word)
    return [*written, *words[len(before) :]]


def _positionals(parser: argparse.ArgumentParser) -> set[str]:
    return {action.dest for action in parser._actions if not action.option_strings}


def _argument_for(flag: str, words: Sequence[str], parser: argparse.ArgumentParser) -> str:
    return argument_for(flag, words, parser.prog.split()[1:], _positionals(parser))


def _too_many(word: str, parser: argparse.ArgumentParser) -> str:
    """Return the problem of an argument that a command has no place for."""
    flags = [flag for action in parser._actions for flag in action.option_strings]
    is_data = "--data" in flags and (os.path.exists(word) or "." in word)  # noqa: PTH110
    hint = f" If these are your data, type: --data {shlex.quote(word)}" if is_data else ""
    return f"'{word}' is one argument too many.{hint}"


def _flags_with_value(parser: argparse.ArgumentParser) -> set[str]:
    return {f for a in parser._actions if a.nargs is None for f in a.option_strings}


def _names_with_spaces(parser: argparse.ArgumentParser, words: Sequence[str]) -> Iterator[str]:
    """Yield a problem for each path that came in several words: its spaces had no quotes."""
    takes_value = _flags_with_value(parser)
    for start, word in enumerate(words):
        before, earlier = (words[start - n] if start >= n else "" for n in (1, 2))
        flag, mark, value = word.partition("=") if word.startswith("--") else ("", "", word)
        is_later = before and not before.startswith("-") and earlier not in takes_value
        if (word.startswith("-") and not mark) or (is_later and not mark):
            continue
        if os.path.exists(value):  # noqa: PTH110
            continue
        name = value
        for other in takewhile(lambda one: not one.startswith("--"), words[start + 1 :][:_MOST]):
            name = f"{name} {other}"
            if os.path.exists(name):  # noqa: PTH110
                typed = f"{flag}=" if mark else f"{before} " if before in takes_value else ""
                quoted = f"{typed}{shell_word(name)}"
                yield f"A name with spaces wants quotes, and {name!r} is there. Type: {quoted}"
                break


def _with_dashes(value: Any) -> Any:
    """Return a value as the user typed it: of two dashes alone argparse leaves an empty list."""
    if isinstance(value, list):
        return [_with_dashes(item) for item in value] or "--"
    return value


def _without_unknown_flags(
    parser: argparse.ArgumentParser, words: Sequence[str]
) -> tuple[list[str], list[str]]:
    """Return the words without unknown flags and their values, and a problem for each of these."""
    flags = [flag for action in parser._actions for flag in action.option_strings]
    keywords = [flag.removeprefix("--").replace("-", "_") for flag in flags]
    takes_value = _flags_with_value(parser)
    known: list[str] = []
    problems: list[str] = []
    skip_value = False
    skipped = 0
    for number, word in enumerate(words):
        if number < skipped:
            continue
        if word == "--":
            return known + list(words[number:]), problems
        is_flag = word.startswith("--") or (word.startswith("-") and word[1:2].isalpha())
        if is_flag and word.partition("=")[0] not in flags:
            flag = word.partition("=")[0]
            before = words[number - 1] if number else ""
            example = f" As a value, write {before}={word}" if before in takes_value else ""
            from nextfill.config.foreign.other_names import advice, as_flag  # not for --help

            typed = _typed_values(words)
            several = [] if "=" in word else names_after(flag, words[number + 1 :])
            if several:
                typed[flag] = ",".join(several)
                skipped = number + 1 + len(several)
            other = _text_last(parser, words, flag) or _argument_for(flag, words, parser)
            other = other or advice(flag, typed[flag], keywords, as_flag, typed)
            told = f"There is no flag {flag}.{other or nearest(flag, flags)}{example}"
            problems += [told] if told not in problems else []
            skip_value = "=" not in word  # what follows is most likely its value
        elif is_flag or not skip_value:
            known.append(word)
            skip_value = False
        else:
            skip_value = False
    return known, problems


def _with_dash_of_a_text(parser: argparse.ArgumentParser, word: str) -> str:
    """Return the problem of a flag whose hyphens became a dash, as word processors do it."""
    name, mark, value = word.lstrip(f"{''.join(_DASHES)}-").partition("=")
    noun = _DASHES.get(word[:1])
    if noun is None or not any(f"--{name}" in one.option_strings for one in parser._actions):
        return ""
    again = f"--{name}{mark}{shell_word(value) if mark else ''}"
    return (
        f"{word} begins with {noun} ({word[0]}), which word processors put in the place of two "
        f"hyphens. Type: {again}"
    )


def _text_last(parser: argparse.ArgumentParser, words: Sequence[str], flag: str) -> str:
    """Return a hint where the text to continue or to fill was given by a flag."""
    places = {action.dest for action in parser._actions if not action.option_strings}
    if flag not in ("--prompt", "--text") or not places & {"prompt", "text"}:
        return ""
    typed = _typed_values(words)[flag]
    model = "MODEL" if words[0].startswith("-") else words[0]
    command = shell_command(*parser.prog.split()[1:], model, "TEXT" if typed is None else typed)
    return f" The text stands after the model: {command}"


def _typed_values(words: Sequence[str]) -> dict[str, str | None]:
    """Return each flag with the word after it, None where that is another flag."""
    values: dict[str, str | None] = {}
    for word, after in zip(words, [*words[1:], "-"], strict=True):
        flag, equals, value = word.partition("=")
        if word.startswith("-"):
            values[flag] = value if equals else None if after.startswith("-") else after
    return values
