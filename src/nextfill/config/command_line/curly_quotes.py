"""Quotes of a word processor in a command line or a recipe, which a shell takes for letters."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from nextfill.config.command_line.typed_words import SOURCES, several_files
from nextfill.core.paths import is_there
from nextfill.core.shell_command import shell_command

_OPENING = {
    **dict.fromkeys("\u201c\u201d\u201e\u201f", "\u201d\u201c"),
    **dict.fromkeys("\u2018\u2019\u201a\u201b", "\u2019\u2018"),
    **dict.fromkeys("\u00ab\u00bb", "\u00bb\u00ab"),
}
"""Quotes of word processors, and those that may end what one begins."""
_MARKS = "".join({*_OPENING, *"".join(_OPENING.values())})
_CURLY_LINE = re.compile(rf"^[^#\"'\n]*?([{''.join(_OPENING)}])", re.MULTILINE)
_YAML_LINE = re.compile(r"(?:[ \t]*(?:#.*|---)?\n)*[ \t]*(?:- )?[\w.-]+:(?:\s|$)")
"""The first line of YAML that is no comment: a key with a colon."""
_TEXTS = ("--join", "--stop", "--prompt", "--sample-prompt", "--add-tokens")
"""Flags whose value is a text, which may well stand in such quotes."""


def in_curly_quotes(words: Sequence[str], command_words: Sequence[str]) -> str:
    """Return the problem of words in a word processor's quotes, which a shell takes for letters.

    Words that hold such quotes and had a shell's around them are left as they are.

    Args:
        words: The whole command line after the command's name.
        command_words: The command's name.
    """
    typed: list[str] = []
    first = ""
    at = 0
    while at < len(words):
        flag, mark, value = words[at].partition("=")
        if not mark or not (flag.startswith("-") or words[at - 1 : at] == ["--set"]):
            flag, mark, value = "", "", words[at]
        before = flag if flag.startswith("-") else words[at - 1] if at else ""
        end = _end_of_quote(words, at, value, before)
        inner = " ".join([value, *words[at + 1 : end]])
        name = "" if before in _TEXTS else _without_half(value)
        if end > at or name:
            first = first or inner
            typed.append(f"{flag}{mark}{name or inner[1:-1]}")
        else:
            typed.append(words[at])
        at = max(end, at + 1)
    if not first:
        return ""
    told = (
        f"{first} stands in the quotes of a word processor ({_quotes_of(first)}), which a shell "
        "takes for letters."
    )
    if several := several_files(typed, (), {*SOURCES}):
        return f"{told} {several}"
    return f"{told} Type: {shell_command(*command_words, *typed)}"


def _quotes_of(text: str) -> str:
    return "".join(one for one in (text[0], text[-1]) if one in _MARKS)


def _without_half(value: str) -> str:
    """Return the name of a file or folder without the quote that it begins or ends with, or ""."""
    bare = value.strip(_MARKS)
    is_half = bool(bare) and (value[0] in _MARKS) != (value[-1] in _MARKS)
    return bare if is_half and is_there(bare) and not is_there(value) else ""


def flaw_of_toml(recipe: str) -> str:
    r"""Return a hint at YAML in the place of TOML, or at a word processor's quotes, or "".

    Example:
        >>> flaw_of_toml("training:\n  epochs: 3")[:42]
        ' It looks like YAML, and recipes are TOML:'
        >>> flaw_of_toml("[data]\nsource = \u201cnotes\u201d")
        ' Line 2 has the quotes of a word processor (\u201c): write straight ones, " or \'.'
    """
    if _YAML_LINE.match(recipe):
        return (
            " It looks like YAML, and recipes are TOML: [training] for training:, epochs = 3 for "
            "epochs: 3."
        )
    found = _CURLY_LINE.search(recipe)
    if found is None:
        return ""
    line = 1 + recipe.count("\n", 0, found.start())
    mark = found[1]
    return (
        f" Line {line} has the quotes of a word processor ({mark}): write straight ones, \" or '."
    )


def _end_of_quote(words: Sequence[str], at: int, value: str, before: str) -> int:
    """Return the place after a quoted text that begins with a value, or 0 if none does."""
    if value[:1] not in _OPENING or not value:
        return 0
    closing = _OPENING[value[0]]
    if value[-1] in closing and len(value) > 2:
        is_name = before.startswith("-") and before not in _TEXTS
        is_name = is_name or os.path.exists(value[1:-1])  # noqa: PTH110
        is_told = not any(map(str.isspace, value)) and not os.path.exists(value)  # noqa: PTH110
        return at + 1 if is_name and is_told else 0
    for end in range(at + 1, len(words)):
        if words[end].startswith("--"):
            return 0
        if words[end][-1:] in closing and words[end]:
            return 0 if any(map(str.isspace, value)) else end + 1
    return 0
