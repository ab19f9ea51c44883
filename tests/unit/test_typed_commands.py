"""No message has a command that cannot be typed: each is made by what quotes it and finds us."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import nextfill
from nextfill.cli.main import COMMANDS

SOURCES = Path(nextfill.__file__).parent
MADE = ("shell_command", "shell_word", "shlex.quote", "shlex.join")
"""What makes a command, or a word of one."""

NAMES = {
    "call",
    "command",
    "again",
    "how",
    "quoted",
    "repo",
    "package",
    "extra",
    "word",
    "wanted",
    "INSTALL",
    "INSTALL_DOCUMENTS",
    "INSTALL_QUANTIZATION",
}
"""Variables that hold such a command or call, or a name that no shell takes apart."""

ELSEWHERE = ("html_report/headline.py", "hub/model_card.py", "config/foreign/foreign_settings.py")
"""What is read on other machines, or mentions a command in passing."""

OURS = re.compile(rf"\bnextfill (?:{'|'.join(COMMANDS)})(?= [-{{A-Z'\"])")
TYPED = re.compile(r"\b[Tt]ype: (.*)")


def messages() -> Iterator[tuple[str, str]]:
    """Yield each text of the sources with its place, values in braces; docstrings are left out."""
    for path in sorted(SOURCES.rglob("*.py")):
        tree = ast.parse(path.read_text("utf-8"))
        skipped: set[ast.AST] = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
                skipped.add(node.value)
            if isinstance(node, ast.JoinedStr):
                skipped.update(node.values)
        place = path.relative_to(SOURCES).as_posix()
        for node in ast.walk(tree):
            if node in skipped:
                continue
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield place, node.value
            elif isinstance(node, ast.JoinedStr):
                yield place, "".join(map(_written, node.values))


def _written(part: ast.expr) -> str:
    if isinstance(part, ast.FormattedValue):
        return f"{{{ast.unparse(part.value)}}}"
    return str(part.value) if isinstance(part, ast.Constant) else ""


def test_our_own_commands_are_made_where_the_program_is_looked_for():
    found = [(place, text) for place, text in messages() if OURS.search(text)]
    assert [one for one in found if one[0] not in ELSEWHERE] == []
    assert found, "nothing was looked at"


def test_what_a_message_says_to_type_is_quoted():
    told = [(place, match[1]) for place, text in messages() for match in TYPED.finditer(text)]
    assert len(told) >= 8
    for place, command in told:
        for value in re.findall(r"\{(.*?)\}(?=[^})]|$)", re.split(r"; |\. ", command)[0]):
            assert value in NAMES or value.startswith(MADE), (place, command)
        assert "..." not in command, (place, command)
