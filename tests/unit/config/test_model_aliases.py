"""A field of a model's configuration that transformers knows by two names has one value."""

from __future__ import annotations

import pytest

from nextfill.config.options import Assignment
from nextfill.config.recipe_file import to_toml
from nextfill.config.resolve import train_config
from nextfill.core.errors import ConfigError

RECIPE = """
data = "leaves.txt"
[model]
name = "scratch:mixtral"
tokenizer = "tokenizer"
config = { num_local_experts = 4, hidden_size = 32 }
"""


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "own.toml"
    path.write_text(RECIPE)
    return path


def given(**fields):
    return [
        Assignment(("model", "config", k), v, f"--set model.config.{k}") for k, v in fields.items()
    ]


@pytest.mark.parametrize("name", ["num_experts", "num_local_experts"])
def test_the_later_layer_holds_under_either_name(recipe, name):
    config = train_config(recipe, given(**{name: 8}))
    assert config.model.config == {"num_local_experts": 8, "hidden_size": 32}
    assert "num_experts" not in to_toml(config)


def test_a_whole_table_is_spelled_out(recipe):
    table = Assignment(("model", "config"), {"num_experts": 8}, "model.config")
    assert train_config(recipe, [table]).model.config["num_local_experts"] == 8


def test_two_values_in_one_layer_are_refused(recipe):
    with pytest.raises(ConfigError) as caught:
        train_config(recipe, given(num_experts=8, num_local_experts=2))
    assert list(caught.value.problems) == [
        "--set model.config.num_experts and --set model.config.num_local_experts are one setting, "
        "given as 8 and 2: leave one of them out."
    ]


def test_one_name_alone_stays(tmp_path):
    path = tmp_path / "own.toml"
    path.write_text(RECIPE.replace("num_local_experts", "num_experts"))
    assert train_config(path, []).model.config == {"num_experts": 4, "hidden_size": 32}
