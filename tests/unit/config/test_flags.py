"""The command line taken apart: settings stay text, and every mistake is collected."""

from __future__ import annotations

import argparse
import dataclasses
from typing import Annotated, Literal, get_origin

import pytest

from nextfill.cli.commands import JSON, QUIET, RECIPE, RESUME
from nextfill.cli.main import COMMANDS
from nextfill.cli.model_commands import MODEL as MODEL_ARGUMENT
from nextfill.cli.model_commands import PROMPT
from nextfill.config import GenerateConfig, TrainConfig
from nextfill.config.bounds import Ge, MinLen
from nextfill.config.command_line.flags import CommandLine, make_parser, parse
from nextfill.config.layers import build
from nextfill.config.options import Assignment, option, settings
from nextfill.core.errors import ConfigError


def train_parser() -> argparse.ArgumentParser:
    return make_parser("train", "Train.", TrainConfig, (RECIPE, RESUME, QUIET, JSON))


def train(*words: str) -> CommandLine:
    return parse(train_parser(), words, TrainConfig)


def generate(*words: str) -> CommandLine:
    arguments = (MODEL_ARGUMENT, PROMPT, JSON)
    parser = make_parser("generate", "Continue.", GenerateConfig, arguments, hidden=("--model",))
    return parse(parser, words, GenerateConfig)


def test_flags_become_settings_with_their_path_and_label():
    line = train("--epochs", "3", "--data=x.txt", "--no-isolate", "--explode", "--json")
    assert line.problems == []
    assert set(line.settings) == {
        Assignment(("training", "epochs"), "3", "--epochs"),
        Assignment(("data", "source"), "x.txt", "--data"),
        Assignment(("blocks", "isolate"), False, "--isolate"),
        Assignment(("data", "explode"), True, "--explode"),
    }
    assert line.arguments.json
    assert not line.arguments.quiet


def test_nothing_is_given_by_default():
    line = train()
    assert (line.settings, line.problems, line.arguments.recipe) == ([], [], None)


@pytest.mark.parametrize("setting", settings(TrainConfig), ids=lambda s: s.flag)
def test_every_flag_reaches_its_setting(setting):
    if setting.annotation is bool:
        words, value = [setting.flag if not setting.default else f"--no-{setting.flag[2:]}"], None
    else:
        choices = [c for c in getattr(setting.annotation, "__args__", ()) if isinstance(c, str)]
        value = choices[-1] if choices else "0.5"
        words = [f"{setting.flag}={value}"]
        value = [value] if get_origin(setting.annotation) is list else value
    (item,) = train(*words).settings
    assert item.path == setting.path
    assert item.value == (value if value is not None else not setting.default)


def test_settings_by_set_beside_flags():
    line = train(
        "--set", "training.batch_size=9", "--epochs", "3", "--set", "model.config.n_layer=2"
    )
    config = build(TrainConfig, [line.settings])
    assert (config.training.batch_size, config.training.epochs) == (9, 3)
    assert config.model.config == {"n_layer": 2}


def test_recipe_and_flags_may_be_mixed():
    line = train("--epochs", "3", "guide", "--json")
    assert line.arguments.recipe == "guide"


def test_misspelt_flags_are_all_reported_and_do_not_take_their_neighbours_along():
    line = train("--learnig-rate", "1", "--epochs", "3", "--batch-siez=4", "--set", "x", "recipe")
    assert line.problems == [
        "There is no flag --learnig-rate. Did you mean '--learning-rate'?",
        "There is no flag --batch-siez. Did you mean '--batch-size' or '--eval-batch-size'?",
        "--set x: expected section.key=value, such as --set training.beta2=0.95.",
    ]
    assert [item.path for item in line.settings] == [("training", "epochs")]
    assert line.arguments.recipe == "recipe"


@pytest.mark.parametrize("flag", ["--top_k", "--num_samples", "--top_p"])
def test_a_flag_with_underscores_is_that_with_hyphens(flag):
    ours = flag.replace("_", "-")
    for words in ((flag, "3"), (f"{flag}=3",)):
        line = generate("some/model", *words)
        assert line.problems == []
        assert [(item.label, item.value) for item in line.settings] == [(ours, "3")]
    after = generate("some/model", "--", flag).arguments.prompt
    assert after in (flag, [flag])


def test_a_flag_with_capitals_is_that_without_them_alone():
    with pytest.raises(ConfigError) as caught:
        generate("--Top-K", "3")
    assert caught.value.problems[0] == "There is no flag --Top-K. Did you mean '--top-k'?"


def test_flags_are_not_abbreviated():
    (problem,) = train("--epoch", "3").problems
    assert problem.startswith("There is no flag --epoch. Did you mean '--epochs'")


def test_other_programs_names_lead_to_ours():
    problems = train("--lr", "1", "--num_train_epochs=3", "--max-tokens", "5").problems
    hints = [problem.partition(". ")[2] for problem in problems]
    assert hints[:2] == ["That is --learning-rate 1 here.", "That is --epochs 3 here."]
    assert "--max-new-tokens" not in hints[2]  # which train has not


def test_a_word_too_many():
    assert train("one", "two").problems == ["'two' is one argument too many."]


@pytest.mark.parametrize(
    ("words", "typed"),
    [
        (["--data", "Das", "lange", "Buch.txt"], "--data 'Das lange Buch.txt'"),
        (["--data", "ein", "Buch.txt"], "--data 'ein Buch.txt'"),
        (["--data=ein", "Buch.txt"], "--data='ein Buch.txt'"),
        (["--epochs", "3", "mein", "rezept.toml"], "Type: 'mein rezept.toml'"),
        (["mein", "rezept.toml", "--epochs", "3"], "Type: 'mein rezept.toml'"),
    ],
)
def test_a_name_with_spaces_wants_quotes(words, typed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("Das lange Buch.txt", "ein Buch.txt", "mein rezept.toml"):
        (tmp_path / name).write_text("x")
    with pytest.raises(ConfigError) as caught:
        train(*words, "--epoch", "2")
    mistyped, spaces = caught.value.problems
    assert "--epoch." in mistyped
    assert spaces.endswith(typed)
    (tmp_path / "Das").mkdir()  # a word that is a path itself is no part of another
    assert not train("--data", "Das").problems


@pytest.mark.parametrize(
    ("words", "telling"),
    [
        (["--epochs"], "--epochs takes a value, and none follows it"),
        (["--json=1"], "--json is on or off and takes no value"),
    ],
)
def test_what_argparse_refuses_is_our_error_and_not_an_exit(words, telling):
    with pytest.raises(ConfigError) as caught:
        train(*words)
    assert telling in str(caught.value)


def test_what_argparse_refuses_comes_with_the_misspelt_flags():
    with pytest.raises(ConfigError) as caught:
        generate("--top-q", "3")
    first, second = caught.value.problems
    assert "There is no flag --top-q. Did you mean '--top-p' or '--top-k'?" in first
    assert second.endswith("Type: nextfill generate MODEL")


def test_prompts_of_any_number_and_any_first_letter():
    assert generate("m").arguments.prompt == []
    assert generate("m", "one", "--top-k", "3", "two").arguments.prompt == ["one", "two"]
    assert generate("m", "--", "-a", "--b").arguments.prompt == ["-a", "--b"]
    assert generate("m", "- a list", "-1").arguments.prompt == ["- a list", "-1"]


def test_a_negative_number_is_a_value():
    (item,) = generate("m", "--temperature", "-1").settings
    assert item.value == "-1"


def test_the_model_argument_hides_the_model_flag():
    assert generate("m", "--model", "x").problems
    assert "--model" not in make_parser(
        "generate", "", GenerateConfig, (MODEL_ARGUMENT,), hidden=("--model",)
    ).format_help().replace("--model-", "")


@pytest.mark.parametrize("name", COMMANDS)
def test_help_lists_every_setting_with_its_help_and_default(name, monkeypatch):
    monkeypatch.setenv("COLUMNS", "500")  # wide, because a narrow page breaks names at a hyphen
    command = COMMANDS[name]
    hidden = ("--model",) if MODEL_ARGUMENT in command.arguments else ()
    bundled = command.quickstart() if command.quickstart else {}
    parser = make_parser(
        name, command.summary, command.root, command.arguments, hidden=hidden, quickstart=bundled
    )
    text = " ".join(parser.format_help().split())
    assert text.startswith(f"usage: nextfill {name} ")
    assert command.summary in text
    for setting in settings(command.root):
        if setting.flag not in hidden:
            assert setting.flag in text
            assert " ".join(setting.help.split()) in text
            if setting.default is not None and setting.annotation is not bool:
                other = bundled.get(setting.path, setting.default)
                differs = "" if other == setting.default else f"; bundled model: {other!r}"
                assert f"(default: {setting.default!r}{differs})" in text
    assert ("bundled model: 0.002)" in text) == (name == "train")


def test_a_list_collects_its_flags_and_takes_any_text():
    (item,) = generate("m", "--stop", "a b", "--stop=--", "--stop=---", "--stop", "").settings
    assert item == Assignment(("generation", "stop"), ["a b", "--", "---", ""], "--stop")
    assert generate("m").settings == []
    (item,) = generate("m", "--prompts=--").settings
    assert item.value == "--"


def test_a_value_that_looks_like_a_flag_wants_an_equals_sign():
    with pytest.raises(ConfigError, match="As a value, write --stop=---"):
        generate("m", "--stop", "---")


@pytest.mark.parametrize(
    ("annotation", "taken", "metavar"),
    [
        (bool | None, True, None),
        (Annotated[bool, "a note"], True, None),
        (list[str] | None, ["x"], "THING"),
        (Annotated[list[str], MinLen(1)], ["x"], "THING"),
        (Literal["x", "y"] | None, "x", "x|y"),
        (Annotated[Literal["x", "y"], "a note"] | None, "x", "x|y"),
        (Annotated[int, Ge(1)] | None, "x", "THING"),
        (int | str, "x", "THING"),
    ],
)
def test_the_kind_of_a_flag_does_not_depend_on_bounds_and_none(annotation, taken, metavar):
    made = dataclasses.make_dataclass("Made", [("thing", annotation, option(None, "a thing"))])
    parser = make_parser("made", "Make.", made, ())
    words = ["--thing"] if taken is True else ["--thing=x"]
    (item,) = parse(parser, words, made).settings
    assert item.value == taken
    (action,) = (one for one in parser._actions if "--thing" in one.option_strings)
    assert action.metavar == metavar
    assert ("--no-thing" in action.option_strings) == (taken is True)


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ("--by site --by prio", "--by is given 2 times, as site and prio, and takes one value"),
        ("--text-field a --text-field=b", "--text-field is given 2 times, as a and b"),
        ("--isolate --no-isolate", "--isolate is given 2 times, as --isolate and --no-isolate"),
        ("--lora-targets q --lora-targets v", "commas. Type: --lora-targets q,v"),
        ("--set training.beta2 0.9 --seed 1", "Type: --set training.beta2=0.9"),
        ("--set training.beta2 -1", "Type: --set training.beta2=-1"),
        ("--freeze norms biases", "Type: --freeze norms,biases"),
        ("--lora-targets q, v --seed 1", "Type: --lora-targets q,v"),
        ("--keep-fields a b", "Type: --keep-fields a --keep-fields b"),
        ("--lora-target-modules q v --seed 1", "That is --lora-targets q,v here."),
    ],
)
def test_no_value_is_lost(words, problem):
    problems = train(*words.split()).problems
    assert len(problems) == 1
    assert problem in problems[0]


@pytest.mark.parametrize(
    "words",
    [
        "--by site --by site",
        "--freeze norms --freeze biases",
        "--set training.beta1=0.8 --set training.beta2=0.9",
    ],
)
def test_what_may_be_given_again(words):
    assert train(*words.split()).problems == []


def test_a_recipe_may_stand_after_a_list():
    line = train("--freeze", "norms", "quickstart")
    assert (line.problems, line.arguments.recipe) == ([], "quickstart")


def test_a_model_and_its_texts_may_stand_after_a_list():
    line = generate("--stop", "x", "model", "Once")
    assert (line.problems, line.arguments.model, line.arguments.prompt) == ([], "model", ["Once"])
