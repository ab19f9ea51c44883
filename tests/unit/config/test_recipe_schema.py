"""The JSON schema of recipes allows what a recipe may say, and marks what it may not.

That it allows every config there can be is tested where those are made, in test_recipe_file.py.
"""

from __future__ import annotations

import json
import tomllib

import jsonschema
import pytest

import nextfill
from nextfill.cli.main import main
from nextfill.config import TrainConfig
from nextfill.config.options import settings

SCHEMA = nextfill.recipe_schema()
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def problems(toml: str) -> list[str]:
    return [error.message for error in VALIDATOR.iter_errors(tomllib.loads(toml))]


def test_it_is_a_schema():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("recipe", nextfill.recipes(), ids=lambda recipe: recipe.name)
def test_it_allows_the_recipes_that_ship(recipe):
    assert problems(recipe.toml) == []


@pytest.mark.parametrize(
    "toml",
    [
        'model = "gpt2"\ndata = "notes.txt"',
        '[evaluation]\nstride = 3\ngeneral = "builtin:stdlib-docs"',
        '[evaluation.general]\nsource = "a.jsonl"\ntext_field = "answers.text"',
        "[model.config]\nn_layer = 2\nanything = [1, 2]",
    ],
)
def test_it_allows_what_a_recipe_may_say_in_short(toml):
    assert problems(toml) == []


@pytest.mark.parametrize(
    "toml",
    [
        "[training]\nlearnig_rate = 1",
        '[training]\nepochs = "three"',
        "[training]\nepochs = 0",
        '[blocks]\npacking = "tight"',
        "seed = -1",
        "epoch = 3",
        "[evaluation.general]\nsource = 3",
        "model = 3",
    ],
)
def test_it_marks_what_a_recipe_may_not_say(toml):
    assert problems(toml)


def test_it_tells_what_each_setting_does():
    text = json.dumps(SCHEMA)
    for setting in settings(TrainConfig):
        assert json.dumps(setting.help) in text


def test_recipes_at_the_command_line(capsys):
    assert main(["recipes"]) == 0
    out = capsys.readouterr().out
    assert all(recipe.name in out for recipe in nextfill.recipes())
    assert main(["recipes", "quickstart"]) == 0
    assert capsys.readouterr().out == nextfill.recipes("quickstart")[0].toml
    assert main(["recipes", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["recipes"]
    assert [one["name"] for one in found] == [recipe.name for recipe in nextfill.recipes()]
    assert all(one["summary"].endswith(".") for one in found)
    for words in (["--schema"], ["--schema", "--json"]):
        assert main(["recipes", *words]) == 0
        assert json.loads(capsys.readouterr().out) == SCHEMA
    assert main(["recipes", "quickstrat"]) == 2
    assert "Did you mean 'quickstart' or" in capsys.readouterr().err
