"""What is missing in a command line, an argument or the value of a flag, and what to type."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping, Sequence

from nextfill.config.prefixes import BUILTIN
from nextfill.core.paths import is_there
from nextfill.core.shell_command import shell_command

_MISSING = re.compile(r"The following arguments are required: (?P<names>[^.]+)\.")
_NO_VALUE = re.compile(r"Argument (?P<flag>--[\w-]+): expected one argument\.")
_SWITCH = re.compile(r"Argument (?P<flag>--[\w-]+).*: ignored explicit argument (?P<value>'.*')\.")

_BLANKS = ("___", "<mask>", "[MASK]", "<|mask|>")
_FORMS = {"repo": "USER/NAME"}
"""Arguments whose place is typed otherwise than by their name."""


def advice_on_missing(
    problem: str,
    actions: Sequence[argparse.Action],
    named: Sequence[str],
    words: Sequence[str],
) -> str:
    """Return a message of argparse's in our words, where something is missing; else as it is.

    Args:
        problem: The message.
        actions: The arguments of the command.
        named: Its name, in words.
        words: The words after its name.
    """
    by_flag = {flag: action for action in actions for flag in action.option_strings}
    if found := _MISSING.match(problem):
        return _missing_arguments(found["names"].split(", "), actions, named, words)
    if found := _NO_VALUE.match(problem):
        return _missing_value(found["flag"], by_flag, words)
    if found := _SWITCH.match(problem):
        flag = found["flag"]
        negative = f"--no-{flag.removeprefix('--')}"
        other = f", or {negative}" if negative in by_flag else ", or leave it out"
        said = f"{flag} is on or off and takes no value, and {found['value']} is given"
        return f"{said}: type {flag}{other}."
    return problem


def unquoted_text(model: str, texts: Sequence[str]) -> str:
    """Return the problem of a text to fill in the place of a model, or in several words, or "".

    Example:
        >>> unquoted_text("The ___ is cold.", [])[:41]
        'The ___ is cold. stands where a model is '
        >>> unquoted_text("run", ["The ___ is cold.", "It ___ warm."])
        ''
        >>> unquoted_text("run", ["<|own|>s", "a<|own|>"])
        ''
    """
    has_blank = any(blank in f" {model} " for blank in _BLANKS)
    if has_blank and " " in model.strip() and not is_there(model):
        there = [one for one in texts if one.startswith(BUILTIN) or is_there(one)][:1]
        others = [one for one in texts if one not in there]
        command = shell_command("fill", *(there or ["MODEL"]), model, *others)
        return f"{model} stands where a model is wanted, and is a text. Type: {command}"
    words = len(texts) > 1 and not any(one.split()[1:] for one in texts)
    if words and {any(blank in one for blank in _BLANKS) for one in texts} == {True, False}:
        command = shell_command("fill", model, " ".join(texts))
        return f"A text with spaces wants quotes, and here are {len(texts)} words. Type: {command}"
    return ""


def _missing_arguments(
    names: Sequence[str],
    actions: Sequence[argparse.Action],
    named: Sequence[str],
    words: Sequence[str],
) -> str:
    places = [action for action in actions if not action.option_strings]
    missing = [one for one in places if one.dest in names and one.nargs in (None, "+")]
    typed = [_FORMS.get(one.dest, one.dest.upper()) for one in missing]
    is_first = missing[:1] == places[:1]
    command = (
        shell_command(*named, *typed, *words) if is_first else shell_command(*named, *words, *typed)
    )
    what = " and ".join(f"{form} ({one.help})" for form, one in zip(typed, missing, strict=True))
    return f"{' '.join(named)} wants {what}. Type: {command}"


def _missing_value(flag: str, by_flag: Mapping[str, argparse.Action], words: Sequence[str]) -> str:
    action = by_flag[flag]
    command = f"{flag} {action.metavar or flag.removeprefix('--').upper()}"
    after = words[words.index(flag) + 1 :] if flag in words else []
    said = f"{flag} takes a value, and none follows it"
    if after and after[0].startswith("-") and len(after[0]) > 1:
        return f"{flag} takes a value, and {after[0]} follows it. Type: {command}"
    return f"{said}: {str(action.help).replace('%%', '%')}. Type: {command}"
