"""Every setting refuses every type of TOML that is none of its own, and says what it takes."""

from __future__ import annotations

import datetime
import tomllib
from typing import Any

import pytest

import nextfill
from nextfill import config
from nextfill.config.layers import build, keyword_assignments, leaves, parse_set
from nextfill.config.options import Assignment, Setting, sections, settings
from nextfill.config.value_types import kinds
from nextfill.core.errors import ConfigError

WRONG = tomllib.loads(
    "number = 3\nreal = 2.5\ntruth = true\ntext = 'yes'\ndate = 2020-01-01\n"
    "moment = 2020-01-01T10:00:00\nclock = 10:00:00\nnumbers = [1]\ntexts = ['yes']\n"
    "table = {a = 1}\ntables = [{a = 1}]\n"
)
LISTS = {("lora", "targets"), ("tracking", "to")}
"""Texts for which a list of them is taken."""

ROOTS = sorted(
    (one for name, one in vars(config).items() if name.endswith("Config") and sections(one)),
    key=lambda one: one.__name__,
)
SECTIONS = {(root, name) for root in ROOTS for name in sections(root)}


def taken(setting: Setting) -> set[str]:
    """Return the names of the values of which some are the setting's own type."""
    parts = set(kinds(setting.annotation))
    if bool in parts:
        return {"truth"}
    if list in parts or any(getattr(one, "__origin__", None) is list for one in parts):
        return {"texts", "text"}
    if setting.path in LISTS:
        return {"text", "texts"}
    if str in parts:
        return {"text"}
    return {"number", "real"} if parts & {int, float} else set()


def tried(root: type, path: tuple[str, ...], value: Any) -> list[str]:
    """Return the problems of a recipe with one setting."""
    tree = value
    for key in reversed(path):
        tree = {key: tree}
    try:
        build(root, [leaves(tree, (), "r.toml: ")])
    except ConfigError as refused:
        return list(refused.problems)
    return []


@pytest.mark.parametrize("root", ROOTS, ids=lambda root: root.__name__)
def test_no_setting_takes_another_type(root):
    for setting in settings(root):
        for name, value in WRONG.items():
            if name not in taken(setting):
                assert tried(root, setting.path, value), (setting.path, name)


@pytest.mark.parametrize("path", [("data", "sources"), ("evaluation", "general")])
def test_nor_does_one_of_a_nested_table(path):
    is_list = path[0] == "data"
    wrong = {"source": (3, 2.5, True, datetime.date(2020, 1, 1), [1], {"a": 1})}
    if is_list:
        wrong |= {"streaming": ("yes", 1, [True]), "portion_size": (True, [1]), "split": (3,)}
    for key, values in wrong.items():
        for value in values:
            table = {"source": "a.txt", key: value}
            given = {path[0]: [table]} if is_list else {path[0]: {path[1]: table}}
            with pytest.raises(ConfigError) as refused:
                build(config.TrainConfig, [leaves(given, (), "r.toml: ")])
            assert len(refused.value.problems) == 1
            assert key in refused.value.problems[0]


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("model", "name"), 3, 'r.toml: model.name: found 3. Expected text; in quotes it is: "3".'),
        (("blocks", "isolate"), "yes", "r.toml: blocks.isolate: found 'yes'. Expected true or fal"),
        (("training", "epochs"), True, "r.toml: training.epochs: found True. Expected a number."),
        (("training",), 5, "r.toml: training: found 5. Expected a table, [training]."),
        (("data",), [5], "r.toml: data, table 1: found 5. Expected a table with its source."),
    ],
)
def test_what_is_expected_is_said_once(path, value, said):
    problems = tried(config.TrainConfig, path, value)
    assert said in "\n".join(problems)
    assert not any("instance of" in one for one in problems)
    assert sum(repr(value) in one for one in problems) <= 1


def test_a_section_of_the_wrong_type_is_one_mistake():
    item = parse_set("training=5")
    assert isinstance(item, Assignment)
    layer = [item, Assignment(("training", "max_steps"), "2", "--max-steps")]
    with pytest.raises(ConfigError) as refused:
        build(config.TrainConfig, [layer])
    assert list(refused.value.problems) == [
        "--set training: found 5. Expected a table, [training]."
    ]


def test_a_shell_has_no_types_and_its_numbers_are_names_where_names_go():
    given = [("model.name=2024", "2024"), ("data.split=3", "3"), ("data.explode=yes", True)]
    for text, value in [*given, ("lora.merge=off", False), ("training.compile=1", True)]:
        item = parse_set(text)
        assert isinstance(item, Assignment)
        built = build(config.TrainConfig, [[item]])
        assert getattr(getattr(built, item.path[0]), item.path[1]) == value


def test_python_has_types_too():
    layer, problems = keyword_assignments(config.TrainConfig, {"text_field": 3})
    with pytest.raises(ConfigError, match=r"text_field: found 3. Expected a text"):
        build(config.TrainConfig, [layer], problems)
    with pytest.raises(ConfigError, match=r"isolate: found 1. Expected true or false"):
        nextfill.train(isolate=1)
    with pytest.raises(
        ConfigError, match=r"training: found 5\. Expected its settings, training=\{NAME: VALUE\}"
    ):
        nextfill.train(training=5)
