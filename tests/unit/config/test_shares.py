"""A size of 1.0 may be one record or all of them, and is not guessed."""

from __future__ import annotations

import pytest

from nextfill.config import DataConfig, EvaluateConfig, TrainConfig
from nextfill.config.foreign.foreign_values import value_hint
from nextfill.config.layers import build, keyword_assignments
from nextfill.config.options import Assignment
from nextfill.config.recipe_file import read_recipe, to_toml
from nextfill.core.errors import ConfigError

SETTINGS = [
    (("data", "test_size"), "record"),
    (("data", "validation_size"), "record"),
    (("training", "warmup_steps"), "step"),
]


def refusal(root=TrainConfig, **keywords):
    given, problems = keyword_assignments(root, keywords)
    with pytest.raises(ConfigError) as raised:
        build(root, [given], problems)
    return raised.value.problems


@pytest.mark.parametrize(("path", "noun"), SETTINGS)
@pytest.mark.parametrize("value", ["1.0", "1.", "1e0", " 1.00", 1.0])
def test_one_with_a_point_is_refused_with_both_its_meanings(path, noun, value):
    with pytest.raises(ConfigError) as raised:
        build(TrainConfig, [[Assignment(path, value, "--size")]])
    [problem] = raised.value.problems
    assert problem.startswith(
        f"--size: found {value}, which is 1 {noun}, or all of them. Type 1 for 1 {noun}, or a "
        "share below 1, such as 0.1."
    )


@pytest.mark.parametrize(("path", "noun"), SETTINGS)
@pytest.mark.parametrize(
    ("value", "read"), [("1", 1), ("+1", 1), (1, 1), ("0.1", 0.1), ("10", 10), (10.0, 10)]
)
def test_what_has_one_meaning_is_read(path, noun, value, read):
    config = build(TrainConfig, [[Assignment(path, value, "--size")]])
    assert getattr(getattr(config, path[0]), path[1]) == read


def test_a_test_set_that_is_all_of_some_data_has_a_flag_of_its_own():
    [problem] = refusal(test_size=1.0)
    assert problem.endswith(
        "To hold out all of some data, and train on other, name it with --eval-data."
    )
    [problem] = refusal(EvaluateConfig, test_size=1.0)
    assert problem.startswith("test_size: found 1.0")


def test_each_of_several_sources_is_told_by_its_place():
    sources = [DataConfig(source="a.txt"), DataConfig(source="b.txt", test_size=1.0)]
    [problem] = refusal(data=sources)
    assert problem.startswith("data, table 2: test_size: found 1.0")
    [problem] = refusal(data=sources[:1] * 2, test_size=1.0)
    assert problem.startswith("test_size: found 1.0")


def test_a_run_that_holds_one_record_out_repeats_itself(tmp_path):
    given, problems = keyword_assignments(
        TrainConfig, {"data": "a.txt", "test_size": 1, "warmup_steps": 1}
    )
    config = build(TrainConfig, [given], problems)
    (tmp_path / "config.toml").write_text(to_toml(config), "utf-8")
    assert build(TrainConfig, [read_recipe(tmp_path / "config.toml")]) == config
    (tmp_path / "mine.toml").write_text("[data]\ntest_size = 1.0\n", "utf-8")
    with pytest.raises(ConfigError, match=r"mine.toml: data.test_size: found 1.0"):
        build(TrainConfig, [read_recipe(tmp_path / "mine.toml")])


def test_all_in_percent_is_not_said_to_be_one_record():
    assert value_hint("test_size", "100%", is_share=False) == ""
    assert value_hint("test_size", "10%", is_share=False) == " Give 0.1."
    assert value_hint("mask_share", "100%", is_share=True) == " Give 1."


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (1.5, ""),
        (1.01, ""),
        (2, " Give 0.02."),
        (70, " Give 0.7."),
        (101, ""),
        ("1.5%", " Give 0.015."),
    ],
)
def test_what_is_a_little_over_one_is_no_percentage(value, said):
    assert value_hint("top_p", value, is_share=True) == said
