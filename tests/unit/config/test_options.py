"""The settings: each has a help line, one flag, and a type that refuses what it cannot use."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields, is_dataclass, replace
from typing import get_type_hints

import pytest

from nextfill import config as config_module
from nextfill.cli.main import COMMANDS
from nextfill.config import FillConfig, PackConfig, PrepareConfig, TrainConfig
from nextfill.config.layers import build
from nextfill.config.options import Assignment, sections, settings
from nextfill.core.errors import ConfigError

ROOTS = {name: command.root for name, command in COMMANDS.items()}
# Functions that have no command.
ROOTS_OF_PYTHON = {"packed_dataset": PackConfig}
each_root = pytest.mark.parametrize("root", ROOTS.values(), ids=ROOTS.keys())


@each_root
def test_every_setting_has_a_help_line(root):
    for setting in settings(root):
        assert setting.help.strip() == setting.help != ""
        assert "\n" not in setting.help
        assert not setting.help.endswith(".")


@each_root
def test_every_field_says_its_help_whether_or_not_it_has_a_flag(root):
    for owner in (root, *sections(root).values()):
        for item in fields(owner):
            if not is_dataclass(get_type_hints(owner)[item.name]):
                assert item.metadata["help"], f"{owner.__name__}.{item.name}"


@each_root
def test_flags_and_keywords_are_unique(root):
    flags = [setting.flag for setting in settings(root)]
    assert len(set(flags)) == len(flags)
    assert len({setting.keyword for setting in settings(root)}) == len(flags)
    assert all(setting.keyword.isidentifier() for setting in settings(root))


@pytest.mark.parametrize("name", ROOTS)
def test_no_setting_takes_the_flag_of_an_argument(name):
    taken = {argument.name for argument in COMMANDS[name].arguments} | {"--set", "--help"}
    assert not taken & {setting.flag for setting in settings(ROOTS[name])}


def test_a_flag_means_the_same_in_every_command():
    seen: dict[str, tuple] = {}
    for root in ROOTS.values():
        for setting in settings(root):
            if setting.flag == "--top-k" and root is FillConfig:
                continue  # transformers' pipelines call tokens to draw from and answers alike
            if setting.flag == "--engine" and root is PrepareConfig:
                continue  # what prepares, and not what computes a model
            meaning = (setting.path, setting.annotation)
            assert seen.setdefault(setting.flag, meaning) == meaning, setting.flag


def test_the_flags_of_the_guide_are_there():
    flags = {setting.flag: setting for setting in settings(TrainConfig)}
    promised = (
        "--model --data --objective --text-field --split --test-size --eval-data --block-size "
        "--packing --epochs --max-steps --learning-rate --batch-size --micro-batch-size --seed "
        "--out --save-every --tokenizer --device --precision --cache-dir"
    )
    assert set(promised.split()) <= flags.keys()
    assert flags["--learning-rate"].path == ("training", "learning_rate")
    assert flags["--learning-rate"].keyword == "learning_rate"
    assert flags["--data"].path == ("data", "source")


OF_A_RECIPE = {
    *(("training", "schedule_start"), ("training", "stages")),
    ("new_tokens", "chosen"),
    *(("data", "weight"), ("data", "repeat")),
}
"""What a run records of its stages and its new words, and what one source among several has."""


@each_root
def test_only_tables_go_without_a_flag(root):
    with_flag = {setting.path for setting in settings(root)}
    for name, owner in sections(root).items():
        for item in fields(owner):
            if (name, item.name) not in with_flag | OF_A_RECIPE:
                listed = getattr(owner, "listed_tables", None)
                assert item.default_factory is (list if item.name == listed else dict)


@each_root
def test_every_class_is_frozen_and_refuses_what_it_does_not_know(root):
    for owner in (root, *sections(root).values()):
        assert owner.__pydantic_config__["extra"] == "forbid"
        for item in fields(owner)[:1]:  # the report's has none
            with pytest.raises(FrozenInstanceError):
                setattr(owner(), item.name, None)


def test_every_section_class_is_used():
    roots = (ROOTS | ROOTS_OF_PYTHON).values()
    used = {owner for root in roots for owner in (root, *sections(root).values())}
    defined = {
        value
        for name, value in vars(config_module).items()
        if name.endswith("Config") and is_dataclass(value)
    }
    assert defined == used


def test_defaults_do_not_share_a_dictionary():
    assert TrainConfig().model.config is not TrainConfig().model.config
    assert replace(TrainConfig(), seed=1) != TrainConfig()


@pytest.mark.parametrize("value", [float("inf"), float("nan"), "inf"])
def test_numbers_are_finite(value):
    for path in (("data", "test_size"), ("training", "epochs"), ("training", "learning_rate")):
        with pytest.raises(ConfigError, match="finite number"):
            build(TrainConfig, [[Assignment(path, value, "it")]])
