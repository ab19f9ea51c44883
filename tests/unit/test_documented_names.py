"""What the README and the documentation name is there: commands, flags, settings and recipes."""

from __future__ import annotations

import re
import shlex
import tomllib
from functools import cache
from pathlib import Path

import pytest

from nextfill.cli.main import COMMANDS
from nextfill.cli.model_commands import MODEL
from nextfill.config import TrainConfig
from nextfill.config.command_line.flags import make_parser
from nextfill.config.layers import build, leaves
from nextfill.config.shipped_recipes import recipe_names

REPOSITORY = Path(__file__).parents[2]
PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^ *```(?P<language>\w*)\n(?P<body>.*?)^ *```", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"(?<!`)`(?P<code>[^`]+)`(?!`)")
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*")


@cache
def flags_of(command: str) -> frozenset[str]:
    found = COMMANDS[command]
    hidden = ("--model",) if MODEL in found.arguments else ()
    parser = make_parser(command, found.summary, found.root, found.arguments, hidden=hidden)
    return frozenset(parser._option_string_actions)


def all_flags() -> frozenset[str]:
    return frozenset().union(*map(flags_of, COMMANDS), {"--version", "--help"})


def mistakes(text: str) -> list[str]:
    """Return what a page names that is not there."""
    found = []
    for line in command_lines(text):
        words = shlex.split(line, comments=True)[1:]
        name = next((n for n in (" ".join(words[:2]), *words[:1]) if n in COMMANDS), None)
        if not words or words[0].startswith(("-", "COMMAND")):
            continue
        if name is None:
            if not any(known.startswith(f"{words[0]} ") for known in COMMANDS):
                found.append(f"no command: {line}")
            continue
        used = {word.partition("=")[0] for word in words if FLAG.match(word)}
        found += [f"{name} has no {flag}: {line}" for flag in sorted(used - flags_of(name))]
    prose = BLOCK.sub("", text)
    for code in CODE.findall(prose):
        found += [f"no flag: {flag}" for flag in FLAG.findall(code) if flag not in all_flags()]
    for match in BLOCK.finditer(text):
        if match["language"] == "toml":
            found += wrong_settings(match["body"])
    return found


def command_lines(text: str) -> list[str]:
    """Return the nextfill commands of a page: those of its blocks, and those in its sentences."""
    blocks = [match["body"].replace("\\\n", " ") for match in BLOCK.finditer(text)]
    lines = [line.strip().removeprefix("$ ") for body in blocks for line in body.splitlines()]
    lines += [" ".join(code.split()) for code in CODE.findall(BLOCK.sub("", text))]
    return [line for line in lines if re.match(r"nextfill( |$)", line)]


def wrong_settings(body: str) -> list[str]:
    try:
        build(TrainConfig, [leaves(tomllib.loads(body), (), "")])
    except ValueError as error:
        return [f"not TOML: {error}"]
    except Exception as error:  # noqa: BLE001 - the message is what is looked at
        return [f"no such settings: {error}"]
    return []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_names_is_there(page: Path) -> None:
    assert mistakes(page.read_text("utf-8")) == []


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("```console\n$ nextfill deploy runs/a\n```\n", "no command: nextfill deploy runs/a"),
        ("Type `nextfill evalute RUN`.", "no command: nextfill evalute RUN"),
        ("```console\n$ nextfill fill a \\\n  --epochs 3\n```\n", "fill has no --epochs"),
        ("`--lerning-rate 3` is", "no flag: --lerning-rate"),
        ("```toml\n[training]\nlerning_rate = 3\n```\n", "no such settings: training.lerning_rate"),
    ],
)
def test_what_is_not_there_is_found(text: str, told: str) -> None:
    assert [one for one in mistakes(text) if one.startswith(told)], mistakes(text)


def test_recipes_that_are_named_ship() -> None:
    known = set(recipe_names())
    for page in PAGES:
        for line in command_lines(page.read_text("utf-8")):
            words = shlex.split(line, comments=True)
            if words[1:2] == ["train"] and len(words) > 2 and re.fullmatch(r"[a-z0-9-]+", words[2]):
                assert words[2].startswith("-") or words[2] in known, line
