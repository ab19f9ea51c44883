"""Recipes, flags and keywords into one config, and back into a recipe that repeats it."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from nextfill import config as cfg
from nextfill.config import DataConfig, EvaluateConfig, GenerateConfig, PrepareConfig, TrainConfig
from nextfill.config.bounds import Ge, Gt, Le, Lt, MinLen
from nextfill.config.layers import build, keyword_assignments, parse_set
from nextfill.config.options import Assignment, Setting
from nextfill.config.options import settings as settings_of
from nextfill.config.recipe_file import read_recipe, recipe_schema, to_toml
from nextfill.config.resolve import train_config
from nextfill.config.shares import SHARES_OR_NUMBERS
from nextfill.config.shipped_recipes import recipe_names
from nextfill.config.value_types import kinds as kinds_of
from nextfill.core.errors import ConfigError
from tests.properties import examples

SCHEMA = recipe_schema()
ROOTS = (TrainConfig, PrepareConfig, EvaluateConfig, GenerateConfig)
# What TOML can hold: every character but lone halves of surrogate pairs.
TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)


def bounds(marks: Sequence[Any], least: float) -> tuple[float | None, float | None]:
    """Return the least and the greatest value that marks allow, where ``least`` is the next one."""
    low = [m.limit for m in marks if isinstance(m, Ge)]
    low += [m.limit + least for m in marks if isinstance(m, Gt)]
    high = [m.limit for m in marks if isinstance(m, Le)]
    high += [m.limit - least for m in marks if isinstance(m, Lt)]
    return max(low, default=None), min(high, default=None)


def values(annotation: Any) -> st.SearchStrategy[Any]:
    """Return a strategy for the values, other than None, that a setting's type allows."""
    kind, *marks = get_args(annotation) if get_origin(annotation) is Annotated else (annotation,)
    known = {bool: (), int: (Ge, Gt, Le, Lt), float: (Ge, Gt, Le, Lt), str: (MinLen,)}
    strange = [mark for mark in marks if not isinstance(mark, known.get(kind, ()))]
    assert not strange, f"limits that the test does not know: {strange}"
    if get_origin(kind) is Literal:
        return st.sampled_from(get_args(kind))
    if get_origin(kind) is list:
        return st.lists(values(*get_args(kind)), max_size=3)
    if kind is bool:
        return st.booleans()
    if kind is int:
        low, high = bounds(marks, 1)
        return st.integers(low, 2**63 - 1 if high is None else high)
    if kind is float:
        low, high = bounds(marks, 0)
        return st.floats(
            low,
            high,
            exclude_min=low is not None and Gt(low) in marks,
            exclude_max=high is not None and Lt(high) in marks,
            allow_nan=False,
            allow_infinity=False,
        )
    if kind is str:
        shortest = max((m.limit for m in marks), default=0)
        return TEXTS.filter(lambda text: len(text) >= shortest)
    members = [member for member in get_args(kind) if member is not NoneType]
    assert len(members) == 1, f"a type that the test does not know: {annotation}"
    return values(members[0])


LIMITED = [
    *(
        Annotated[kind, *marks]
        for kind in (int, float)
        for marks in (
            (Ge(0), Le(20)),
            (Gt(0), Lt(3)),
            (Ge(0), Gt(1), Le(5), Lt(4)),
            (Le(-3),),
            (Gt(7),),
            (Lt(2),),
        )
    ),
    *(list[Annotated[str, MinLen(n)]] for n in (1, 3)),
    Annotated[float, Gt(0)] | None,
]


@pytest.mark.parametrize("annotation", LIMITED, ids=str)
@examples(40)
@given(data=st.data())
def test_the_values_that_are_tried_are_those_that_a_setting_takes(annotation, data):
    value = data.draw(values(annotation))
    assert TypeAdapter(annotation).validate_python(value) == value


@st.composite
def some_settings(draw: st.DrawFn, root: type) -> list[tuple[Setting, Any]]:
    chosen = draw(st.lists(st.sampled_from(settings_of(root)), unique_by=lambda s: s.flag))
    return [(setting, draw(values(setting.annotation))) for setting in chosen]


def read(tmp_path: Path, text: str) -> list[Assignment]:
    path = tmp_path / "recipe.toml"
    path.write_text(text, encoding="utf-8")
    return read_recipe(path)


def problems(root: type, *layers: list[Assignment], found: tuple[str, ...] = ()) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        build(root, layers, found)
    return caught.value.problems


@pytest.mark.parametrize("root", ROOTS)
def test_nothing_given_is_the_defaults(root):
    assert build(root, []) == root()


@examples(60)
@given(data=st.data())
def test_a_config_written_as_a_recipe_repeats_it(tmp_path_factory, data):
    root = data.draw(st.sampled_from(ROOTS))
    chosen = data.draw(some_settings(root))
    chosen = [
        (s, 1 if s.path in SHARES_OR_NUMBERS and value == 1 else value) for s, value in chosen
    ]
    config = build(root, [[Assignment(s.path, value, s.flag) for s, value in chosen]])
    for setting, value in chosen:
        found = config
        for name in setting.path:
            found = getattr(found, name)
        assert found == value
    path = tmp_path_factory.getbasetemp() / "round.toml"
    path.write_text(to_toml(config), encoding="utf-8", newline="")
    assert build(root, [read_recipe(path)]) == config
    if root is TrainConfig:
        jsonschema.validate(tomllib.loads(path.read_text(encoding="utf-8")), SCHEMA)


@examples(30)
@given(
    overrides=st.dictionaries(
        TEXTS.filter(bool), st.integers(0, 9) | st.booleans() | TEXTS | st.lists(st.integers(0, 9))
    )
)
def test_overrides_of_the_model_survive_the_round_trip(overrides):
    config = replace(TrainConfig(), model=cfg.ModelConfig(name="scratch:gpt2", config=overrides))
    tree = tomllib.loads(to_toml(config))
    assert tree["model"].get("config", {}) == overrides


def test_a_flag_beats_the_recipe_and_leaves_the_rest(tmp_path):
    recipe = read(tmp_path, "seed = 3\n[training]\nepochs = 5\nbatch_size = 4\n")
    flags = [Assignment(("training", "epochs"), "7", "--epochs")]
    config = build(TrainConfig, [recipe, flags])
    assert (config.training.epochs, config.training.batch_size, config.seed) == (7.0, 4, 3)


def test_set_reaches_any_key_and_beats_an_earlier_one(tmp_path):
    recipe = read(tmp_path, "[model]\nname = 'scratch:gpt2'\n[model.config]\nn_layer = 2\nn = 1\n")
    words = ["model.config.n_layer=6", "training.beta2=0.95", "data.text_field=answers.text"]
    config = build(TrainConfig, [recipe, [parse_set(word) for word in words]])
    assert config.model.config == {"n_layer": 6, "n": 1}
    assert config.training.beta2 == 0.95
    assert config.data.text_field == "answers.text"


def test_what_was_given_is_not_changed_by_building():
    overrides = {"n_layer": 2}
    layer = [
        Assignment(("model", "config"), overrides, "recipe"),
        parse_set("model.config.n_layer=6"),
    ]
    assert build(TrainConfig, [layer]).model.config == {"n_layer": 6}
    assert overrides == {"n_layer": 2}


def test_a_whole_section_by_set_leaves_the_rest_of_it_alone(tmp_path):
    recipe = read(tmp_path, "[training]\nepochs = 5\nbatch_size = 4\n")
    config = build(TrainConfig, [recipe, [parse_set("training={epochs = 7}")]])
    assert (config.training.epochs, config.training.batch_size) == (7.0, 4)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a.b=3", 3),
        ("a.b=0.5", 0.5),
        ("a.b=true", True),
        ("a.b=word", "word"),
        ("a.b='3'", "3"),
        ("a.b=[1, 2]", [1, 2]),
        ("a.b=x=y", "x=y"),
        ("a.b=", ""),
    ],
)
def test_set_reads_toml_or_a_bare_word(text, value):
    found = parse_set(text)
    assert found == Assignment(("a", "b"), value, "--set a.b")
    assert type(found.value) is type(value)


@pytest.mark.parametrize("text", ["training.beta2", "=3", " =3"])
def test_set_without_a_key_or_a_value_says_what_to_type(text):
    assert "expected section.key=value, such as --set training.beta2=0.95" in parse_set(text)


@pytest.mark.parametrize(
    "line", ['model = "x"\ndata = "y"', '[model]\nname="x"\n[data]\nsource="y"']
)
def test_a_bare_model_and_data_are_their_names(tmp_path, line):
    config = build(TrainConfig, [read(tmp_path, line)])
    assert (config.model.name, config.data.source) == ("x", "y")


def test_a_shorthand_and_a_section_go_together(tmp_path):
    flags = [Assignment(("model", "tokenizer"), "t", "--tokenizer")]
    config = build(TrainConfig, [read(tmp_path, 'model = "x"'), flags])
    assert (config.model.name, config.model.tokenizer) == ("x", "t")


def test_all_mistakes_are_reported_at_once_with_near_matches(tmp_path):
    recipe = read(
        tmp_path,
        "[training]\nlearnig_rate = 1\nblock_size = 9\nepochs = 0\n[dota]\nx = 1\n"
        "[blocks]\npacking = 'tight'\n",
    )
    flags = [
        Assignment(("seed",), "many", "--seed"),
        Assignment(("blocks", "block_size"), "1", "-b"),
    ]
    found = problems(TrainConfig, recipe, flags, found=("There is no flag --dat.",))
    telling = [
        ("There is no flag --dat.",),
        ("recipe.toml: training.learnig_rate", "no such setting", "Did you mean 'learning_rate'?"),
        ("recipe.toml: training.block_size", "Did you mean 'blocks.block_size'?"),
        ("recipe.toml: training.epochs", "found 0", "greater than 0"),
        ("recipe.toml: dota.x", "no such setting", "'data'?"),
        ("recipe.toml: blocks.packing", "found 'tight'", "'best-fit'"),
        ("--seed", "found 'many'", "integer"),
        ("-b", "found '1'", "greater than or equal to 2"),
    ]
    assert len(found) == len(telling), found
    for parts in telling:
        assert [p for p in found if all(part in p for part in parts)], (parts, found)


def test_a_value_where_a_section_is_expected(tmp_path):
    assert "training" in problems(TrainConfig, read(tmp_path, "training = 3"))[0]
    flags = [Assignment(("training", "epochs"), "3", "--epochs")]
    found = problems(TrainConfig, read(tmp_path, "training = 3"), flags)
    assert len(found) == 1
    assert found[0].endswith("training: found 3. Expected a table, [training].")
    whole = problems(
        TrainConfig, read(tmp_path, 'data = {split = "a"}'), [parse_set("data.split.x=3")]
    )
    assert any("'split' has a value of its own" in problem for problem in whole)


@pytest.mark.parametrize("name", recipe_names())
def test_every_shipped_recipe_is_valid_and_repeats_itself(name, tmp_path):
    given = read_recipe(name)
    config = build(TrainConfig, [given])
    assert config != TrainConfig()
    assert build(TrainConfig, [read_recipe(f"{name}.toml")]) == config
    assert build(TrainConfig, [read(tmp_path, to_toml(config))]) == config
    assert given[0].label.startswith(name)


def test_the_shipped_recipes_are_those_on_disk():
    folder = Path(cfg.__file__).parents[1] / "recipes"
    assert recipe_names() == sorted(path.stem for path in folder.glob("*.toml"))
    assert {"quickstart", "eli5-causal"} <= set(recipe_names())


def test_the_guides_recipe_is_the_guides():
    config = build(TrainConfig, [read_recipe("eli5-causal")])
    training = config.training
    assert (training.epochs, training.batch_size, training.learning_rate) == (3, 8, 2e-5)
    assert (config.blocks.block_size, config.blocks.packing) == (128, "concat")
    assert (config.data.split, config.data.test_size) == ("train[:5000]", 0.2)


def test_no_such_recipe_names_the_nearest():
    with pytest.raises(ConfigError, match="Did you mean 'quickstart'") as caught:
        read_recipe("quikstart")
    assert "eli5-causal" in str(caught.value)


@pytest.mark.parametrize("raw", [b"[training\n", b"a = \xff", b"x"])
def test_a_recipe_that_is_not_toml(tmp_path, raw):
    path = tmp_path / "bad.toml"
    path.write_bytes(raw)
    with pytest.raises(ConfigError, match=r"bad\.toml is not valid TOML"):
        read_recipe(path)


def test_keywords_are_named_like_the_flags():
    given, found = keyword_assignments(
        TrainConfig, {"data": Path("x.txt"), "learning_rate": 0.1, "training": {"beta2": 0.9}}
    )
    assert found == []
    config = build(TrainConfig, [given])
    assert (config.data.source, config.training.learning_rate) == ("x.txt", 0.1)
    assert config.training.beta2 == 0.9
    _, found = keyword_assignments(TrainConfig, {"learnig_rate": 1})
    assert found == ["There is no setting 'learnig_rate'. Did you mean 'learning_rate'?"]


def test_nan_is_no_number_for_a_setting():
    layer = [Assignment(("training", "learning_rate"), math.nan, "--learning-rate")]
    assert "--learning-rate" in problems(TrainConfig, layer)[0]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_recipe_may_begin_with_the_mark_of_utf8(tmp_path, encoding):
    file = tmp_path / "mine.toml"
    file.write_text("[training]\nmax_steps = 3\n", encoding=encoding)
    assert [(one.path, one.value) for one in read_recipe(file)] == [(("training", "max_steps"), 3)]


def test_a_recipe_in_utf16_is_told_by_name(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text("[training]\nmax_steps = 3\n", encoding="utf-16")
    with pytest.raises(ConfigError, match=r"UTF-16.*save it again as UTF-8"):
        read_recipe(file)


@pytest.mark.parametrize("value", [True, False])
def test_true_and_false_are_no_numbers(value):
    for one in settings_of(TrainConfig):
        kinds = set(kinds_of(one.annotation))
        if not kinds & {int, float} or bool in kinds:
            continue
        with pytest.raises(ConfigError, match=f"{one.flag}: found {value}. Expected a number"):
            build(TrainConfig, [[Assignment(one.path, value, one.flag)]])


def test_one_record_is_written_as_a_whole_number(tmp_path):
    data = DataConfig(source="notes.txt", test_size=1.0, validation_size=0.5)
    path = tmp_path / "mine.toml"
    path.write_text(to_toml(TrainConfig(data=data)), encoding="utf-8")
    assert "test_size = 1\n" in path.read_text("utf-8")
    assert train_config(path, []).data.test_size == 1
