"""A command line that lacks an argument or a value is told with what to type, in every command."""

from __future__ import annotations

import re

import pytest

import nextfill
from nextfill.cli.main import COMMANDS, main
from nextfill.config.command_line.flags import make_parser, parse
from nextfill.core.errors import ConfigError


def problems(name: str, *words: str) -> list[str]:
    command = COMMANDS[name]
    parser = make_parser(name, command.summary, command.root, command.arguments)
    with pytest.raises(ConfigError) as refused:
        parse(parser, words, command.root)
    return list(refused.value.problems)


NEEDED = {
    name: [one for one in command.arguments if not one.is_flag and one.nargs in (None, "+")]
    for name, command in COMMANDS.items()
}


@pytest.mark.parametrize("name", [name for name, needed in NEEDED.items() if needed])
def test_each_command_says_which_argument_it_wants(name):
    (told,) = problems(name)
    for one in NEEDED[name]:
        assert f"({one.help})" in told
    assert re.search(rf"Type: nextfill {name} [A-Z/]+( [A-Z/]+)?$", told)
    assert "others" not in told
    assert "required" not in told


@pytest.mark.parametrize(
    ("words", "typed"),
    [
        (["evaluate", "--data", "my docs"], "nextfill evaluate MODEL --data 'my docs'"),
        (["share", "runs/x"], "nextfill share runs/x USER/NAME"),
        (["share", "--private", "runs/x"], "nextfill share --private runs/x USER/NAME"),
    ],
)
def test_the_words_that_were_typed_are_in_the_command(words, typed):
    (told,) = problems(*words)
    assert told.endswith(f"Type: {typed}")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--epochs"], "--epochs takes a value, and none follows it: passes over"),
        (["--epochs", "--quiet"], "--epochs takes a value, and --quiet follows it. Type: --ep"),
        (["--json=1"], "--json is on or off and takes no value, and '1' is given: type --json"),
        (["--isolate=no"], "takes no value, and 'no' is given: type --isolate, or --no-isolate."),
    ],
)
def test_a_value_that_is_missing_or_too_many(words, told):
    assert told in problems("train", *words)[0]


def test_a_command_without_its_model_ends_with_status_2(capsys):
    assert main(["generate", "--seed", "1"]) == 2
    assert "Type: nextfill generate MODEL --seed 1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("call", "arguments", "typed"),
    [
        (nextfill.evaluate, (), "nextfill.evaluate(MODEL, ...)"),
        (nextfill.generate, (), "nextfill.generate(MODEL, ...)"),
        (nextfill.fill, (), "nextfill.fill(MODEL, ...)"),
        (nextfill.share, ("runs/x",), "nextfill.share('runs/x', REPO, ...)"),
        (nextfill.bundle, (), "nextfill.bundle(RUN, ...)"),
    ],
)
def test_a_call_without_its_first_argument(call, arguments, typed):
    with pytest.raises(ConfigError) as refused:
        call(*arguments)
    assert str(refused.value).endswith(f"Type: {typed}")
