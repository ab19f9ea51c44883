"""A setting that is given twice with two values is refused, however each was written."""

from __future__ import annotations

import shlex

import pytest

import nextfill
from nextfill.cli.main import COMMANDS, main
from nextfill.config.command_line.flags import make_parser, parse
from nextfill.core.errors import ConfigError


def problems(line: str) -> list[str]:
    command = COMMANDS["train"]
    parser = make_parser("train", command.summary, command.root, command.arguments)
    return parse(parser, shlex.split(line), command.root).problems


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("--set seed=1 --set seed=2", "--set seed is given 2 times, as 1 and 2"),
        ("--seed 1 --set seed=2", "--seed and --set seed are one setting, given as 1 and 2"),
        ("--set training.epochs=1 --epochs 3", "--epochs and --set training.epochs are one"),
        (
            "--set 'training={epochs=1}' --set training.epochs=2",
            "--set training.epochs is given 2 times",
        ),
        ("--data a --set data=b", "--data and --set data are one setting, given as a and b"),
        (
            "--set evaluation.general=a --set evaluation.general.source=b",
            "--set evaluation.general and --set evaluation.general.source are one",
        ),
        (
            "--set 'model.config={n_layer=2}' --set model.config.n_layer=3",
            "given as 2 and 3",
        ),
        ("--no-isolate --set blocks.isolate=true", "--isolate and --set blocks.isolate are one"),
    ],
)
def test_two_values_are_refused(line, told):
    (problem,) = problems(line)
    assert told in problem
    assert problem.endswith("out.")


@pytest.mark.parametrize(
    "line",
    [
        "--set seed=1 --set seed=1",
        "--seed 1 --set seed=1",
        "--freeze norms --freeze biases",
        "--set model.config.n_layer=2 --set model.config.n_head=2",
        "--set 'training={epochs=1}' --set training.batch_size=2",
        "--freeze norms --set training.freeze=norms",
    ],
)
def test_one_value_twice_and_other_settings_are_taken(line):
    assert problems(line) == []


def test_a_model_in_its_place_and_by_set(capsys):
    assert main(["generate", "builtin:base-causal", "--set", "model.name=other"]) == 2
    told = capsys.readouterr().err
    assert "MODEL and --set model.name are one setting, given as builtin:base-causal and o" in told


def test_a_section_beside_a_keyword():
    with pytest.raises(ConfigError, match=r"epochs and training\.epochs are one setting"):
        nextfill.train(epochs=1, training={"epochs": 2})
