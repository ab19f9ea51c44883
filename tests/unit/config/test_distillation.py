"""What a student takes over from its teacher, and which settings do not go together."""

from __future__ import annotations

import pytest

from nextfill.config import TrainConfig
from nextfill.config.layers import build, keyword_assignments
from nextfill.config.options import Assignment
from nextfill.config.recipe_file import read_recipe, to_toml
from nextfill.config.resolve import train_config
from nextfill.core.errors import ConfigError


def settled(recipe=None, **keywords):
    given, problems = keyword_assignments(TrainConfig, keywords)
    return train_config(recipe, given, problems)


def refused(recipe=None, **keywords):
    with pytest.raises(ConfigError) as error:
        settled(recipe, **keywords)
    return error.value.problems


def test_a_student_of_some_layers_begins_as_its_teacher():
    config = settled(teacher="me/large", teacher_revision="v1", student_layers=3)
    assert (config.model.name, config.model.revision) == ("me/large", "v1")
    named = settled(teacher="me/large", student_layers=3, model="me/other", revision="v2")
    assert (named.model.name, named.model.revision) == ("me/other", "v2")
    alone = settled(teacher="me/large")
    assert alone.model.name == "builtin:base-causal"


def test_a_student_of_some_layers_has_the_settings_that_come_with_its_teacher():
    """A bundled model brings the quickstart's, a run those that it was trained with."""
    config = settled(teacher="builtin:base-masked", student_layers=2)
    assert config.training == settled(model="builtin:base-masked").training
    assert config.data == settled(model="builtin:base-masked").data


def test_a_student_from_random_weights_has_its_teachers_tokenizer():
    assert settled(teacher="me/large", model="scratch:gpt2").model.tokenizer == "me/large"
    own = settled(teacher="me/large", model="scratch:gpt2", tokenizer="me/own")
    assert own.model.tokenizer == "me/own"
    assert settled(teacher="me/large", model="me/small").model.tokenizer is None


def test_a_recipe_may_name_a_teacher_in_short_and_a_flag_the_rest(tmp_path):
    recipe = tmp_path / "a.toml"
    recipe.write_text('distillation = "me/large"\n')
    config = settled(recipe, student_layers=2, distill_weight=0.9)
    assert config.distillation.teacher == config.model.name == "me/large"
    assert config.distillation.weight == 0.9


def test_the_settings_are_written_where_there_is_a_teacher_and_nowhere_else(tmp_path):
    assert "distill" not in to_toml(settled(model="me/small"))
    config = settled(model="me/small", teacher="me/large", distill_temperature=4)
    (tmp_path / "a.toml").write_text(to_toml(config))
    assert build(TrainConfig, [read_recipe(tmp_path / "a.toml")]) == config


def test_a_teacher_in_a_folder_is_found_from_any_other(tmp_path, monkeypatch):
    (tmp_path / "large").mkdir()
    monkeypatch.chdir(tmp_path)
    assert settled(model="me/small", teacher="large").distillation.teacher == str(
        tmp_path / "large"
    )


@pytest.mark.parametrize(
    "keywords",
    [
        {"distill_weight": 0.5},
        {"distill_temperature": 2.0},
        {"student_layers": 2},
        {"teacher_revision": "main"},
    ],
)
def test_each_setting_needs_a_teacher(keywords, tmp_path):
    [problem] = refused(**keywords)
    assert problem.startswith(f"{next(iter(keywords))} is of a distillation: give --teacher MODEL")
    recipe = tmp_path / "a.toml"
    recipe.write_text("[distillation]\nweight = 0.5\n")
    assert refused(recipe) == (
        "a.toml: distillation.weight is of a distillation: give --teacher MODEL, too, or leave it "
        "out.",
    )


@pytest.mark.parametrize(
    ("keywords", "said"),
    [
        ({"distill_weight": 1.5}, "less than or equal to 1"),
        ({"distill_weight": -0.1}, "greater than or equal to 0"),
        ({"distill_temperature": 0}, "greater than 0"),
        ({"distill_temperature": -1.0}, "greater than 0"),
        ({"student_layers": 0}, "greater than or equal to 1"),
        ({"teacher": "scratch:gpt2"}, "has random weights and nothing to teach"),
        ({"teacher": "live:GPT2LMHeadModel"}, "is read from a folder or the Hub"),
        ({"model": "scratch:gpt2", "student_layers": 2}, "scratch:gpt2 is one of random weights"),
        ({"student_layers": 2, "lora_rank": 4}, "give --lora-merge, or leave --lora-rank out"),
        ({"add_tokens": ["autograd"]}, "does not know new words"),
    ],
)
def test_what_does_not_hold_or_go_together_is_told(keywords, said):
    [problem] = refused(**{"teacher": "me/large", **keywords})
    assert said in problem


def test_a_teacher_in_memory_is_told_to_be_saved_first():
    [problem] = refused(teacher=object(), model="me/small")
    assert "save_pretrained(FOLDER)" in problem


def test_the_bounds_are_those_that_hold():
    config = settled(teacher="me/large", distill_weight=0, distill_temperature=0.1)
    assert (config.distillation.weight, config.distillation.temperature) == (0, 0.1)
    assert settled(teacher="me/large", distill_weight=1).distillation.weight == 1
    merged = settled(teacher="me/large", student_layers=2, lora_rank=2, lora_merge=True)
    assert merged.distillation.student_layers == 2


def test_a_setting_that_is_typed_as_its_default_counts_as_typed():
    layer = [Assignment(("distillation", "weight"), 0.5, "--distill-weight")]
    with pytest.raises(ConfigError, match="--distill-weight is of a distillation"):
        train_config(None, layer)
