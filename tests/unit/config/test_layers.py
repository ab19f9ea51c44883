"""What was given, and in which order: keywords in any, and what one source says against all."""

from __future__ import annotations

from dataclasses import fields
from itertools import permutations
from pathlib import Path

import pytest

from nextfill.config import DataConfig, EvaluateConfig, PackConfig, PrepareConfig, TrainConfig
from nextfill.config.layers import build, keyword_assignments, parse_set
from nextfill.config.options import Assignment
from nextfill.config.recipe_file import read_recipe, to_toml
from nextfill.config.resolve import train_config
from nextfill.core.errors import ConfigError

OTHER: dict[str, object] = {
    "streaming": True,
    "portion_size": 2.0,
    "split": "train[:5]",
    "text_field": "body",
    "context_field": "head",
    "join": "; ",
    "explode": True,
    "keep_fields": ["label"],
    "format": "jsonl",
    "encoding": "cp1251",
    "txt": "line",
    "test_size": 0.5,
    "validation_size": 0.25,
    "eval_source": "held.txt",
    "eval_split": "test",
    "verify": True,
}
"""Of each setting of a source a value that is not its default."""

KEYWORD = {"eval_source": "eval_data"}
PLAIN = DataConfig()


def configured(root=TrainConfig, **keywords):
    given, problems = keyword_assignments(root, keywords)
    return build(root, [given], problems)


def every_order(**keywords):
    return [dict(order) for order in permutations(keywords.items())]


def test_every_setting_of_a_source_is_tried():
    own = {"source", "sources", "weight", "repeat"}  # which one source alone cannot have
    assert OTHER.keys() == {item.name for item in fields(DataConfig)} - own
    assert all(getattr(PLAIN, name) != value for name, value in OTHER.items())


@pytest.mark.parametrize("root", [TrainConfig, PrepareConfig, PackConfig, EvaluateConfig])
def test_the_order_of_keywords_does_not_matter(root):
    sources = [DataConfig(source="a.jsonl", text_field="own"), DataConfig(source="b.jsonl")]
    for keywords in every_order(text_field="body", explode=True, data=sources, seed=3):
        config = configured(root, **keywords)
        assert config.seed == 3
        assert [(one.source, one.text_field, one.explode) for one in config.data.each] == [
            ("a.jsonl", "own", True),
            ("b.jsonl", "body", True),
        ]


@pytest.mark.parametrize("name", OTHER)
def test_what_a_source_says_holds_though_it_be_the_default(name):
    default = getattr(PLAIN, name)
    other: dict[str, object] = {"test_size": 0.125, "validation_size": 0.125}
    sources = [
        DataConfig(source="open"),
        DataConfig(source="default", **{name: default}),
        DataConfig(source="own", **{name: other.get(name, OTHER[name])}),
        {"source": "a dict", name: default},
        "a name",
        Path("a path"),
    ]
    for keywords in every_order(data=sources, **{KEYWORD.get(name, name): OTHER[name]}):
        each = configured(**keywords).data.each
        values = {one.source: getattr(one, name) for one in each}
        assert values == {
            "open": OTHER[name],
            "default": default,
            "own": other.get(name, OTHER[name]),
            "a dict": default,
            "a name": OTHER[name],
            "a path": OTHER[name],
        }


@pytest.mark.parametrize("name", OTHER)
def test_a_run_repeats_what_was_resolved(name, tmp_path):
    sources = [DataConfig(source="open"), DataConfig(source="said", **{name: getattr(PLAIN, name)})]
    config = configured(data=sources, **{KEYWORD.get(name, name): OTHER[name]})
    (tmp_path / "config.toml").write_text(to_toml(config))
    again = build(TrainConfig, [read_recipe(tmp_path / "config.toml")])
    assert again.data.each == config.data.each


def test_a_flag_is_said_for_all_that_say_nothing(tmp_path):
    recipe = tmp_path / "several.toml"
    recipe.write_text(
        '[[data]]\nsource = "a"\nexplode = false\n[[data]]\nsource = "b"\n[evaluation.far]\n'
        'source = "c"\n'
    )
    flags = [Assignment(("data", "explode"), True, "--explode"), parse_set("data.txt=line")]
    for order in permutations(flags):
        config = train_config(recipe, order)
        assert [(one.explode, one.txt) for one in config.data.each] == [
            (False, "line"),
            (True, "line"),
        ]
        assert config.evaluation.sets["far"].explode is False


def test_keywords_over_a_recipe_in_any_order(tmp_path):
    recipe = tmp_path / "several.toml"
    recipe.write_text('[[data]]\nsource = "a"\ntext_field = "theirs"\n[[data]]\nsource = "b"\n')
    sources = [DataConfig(source="c"), DataConfig(source="d", explode=False)]
    for keywords in every_order(explode=True, data=sources, join="-"):
        given, problems = keyword_assignments(TrainConfig, keywords)
        each = train_config(recipe, given, problems).data.each
        assert [(one.source, one.text_field, one.explode, one.join) for one in each] == [
            ("c", None, True, "-"),
            ("d", None, False, "-"),
        ]


def test_an_evaluation_set_and_what_is_said_of_it_in_any_order():
    whole = Assignment(
        ("evaluation", "far"), {"source": "a", "txt": "line"}, "--set evaluation.far"
    )
    further = [parse_set("evaluation.far.split=test"), parse_set("evaluation.by=kind")]
    for order in permutations([whole, *further]):
        evaluation = build(TrainConfig, [order]).evaluation
        one = evaluation.sets["far"]
        assert (one.source, one.txt, one.split, evaluation.by) == ("a", "line", "test", "kind")


def test_one_source_with_all_it_says():
    one = DataConfig(source="a.jsonl", explode=False, split="train[:3]")
    for keywords in every_order(data=one, explode=True, text_field="body"):
        (found,) = configured(**keywords).data.each
        assert (found.source, found.explode, found.split, found.text_field) == (
            "a.jsonl",
            False,
            "train[:3]",
            "body",
        )


@pytest.mark.parametrize(
    ("keywords", "telling"),
    [
        ({"training": {"epochs": 3}, "epochs": 5}, "epochs and training.epochs are one setting"),
        ({"data": {"source": "a", "txt": "line"}, "txt": "file"}, "data.txt and txt are one"),
        ({"model": {"name": "a"}, "revision": "b"}, ""),
    ],
)
def test_one_setting_said_twice_has_no_last_one(keywords, telling):
    for order in every_order(**keywords):
        if not telling:
            assert configured(**order).model.revision == "b"
            continue
        with pytest.raises(ConfigError, match=telling):
            configured(**order)


def test_one_source_and_several_in_one_breath():
    several = parse_set('data=[{source="a"},{source="b"}]')
    one = Assignment(("data", "source"), "c", "--data")
    for order in permutations([several, one]):
        with pytest.raises(ConfigError, match="--data names one source, and --set data several"):
            build(TrainConfig, [order])
    assert [each.source for each in build(TrainConfig, [[several], [one]]).data.each] == ["c"]
    assert len(build(TrainConfig, [[one], [several]]).data.each) == 2


def test_a_mistake_said_for_all_is_told_once():
    with pytest.raises(ConfigError) as caught:
        configured(data=[DataConfig(source="a"), DataConfig(source="b")], test_size="much")
    assert len(caught.value.problems) == 1
    assert caught.value.problems[0].startswith("test_size: found 'much'")
    with pytest.raises(ConfigError, match="table 2: test_size: found 'much'"):
        configured(data=["a", DataConfig(source="b", test_size="much")], explode=True)


@pytest.mark.parametrize(
    "value", ["https://me:PLANTED@x.org", "see s3://K:PLANTED@b", "x?sig=PLANTED"]
)
@pytest.mark.parametrize(
    ("path", "shape"),
    [
        (("training", "sample_prompt"), "{}"),
        (("data", "join"), "{}"),
        (("model", "name"), "{}"),
        (("data", "keep_fields"), ["{}"]),
        (("model", "config"), {"n": ["{}"]}),
        (("evaluation", "{}"), {"source": "a"}),
        (("data",), [{"source": "a", "text_field": "{}"}]),
        (("data",), {"source": "a", "join": "{}"}),
        (("model",), {"name": "a", "tokenizer": "{}"}),
    ],
)
def test_a_setting_with_a_secret_is_refused_because_it_is_recorded(path, shape, value):
    def filled(tree):
        if isinstance(tree, dict):
            return {filled(key): filled(one) for key, one in tree.items()}
        return [filled(one) for one in tree] if isinstance(tree, list) else tree.format(value)

    given = Assignment(tuple(map(filled, path)), filled(shape), "--flag")
    with pytest.raises(ConfigError) as caught:
        build(TrainConfig, [[given]])
    assert "holds a password, a key or a token" in str(caught.value)
    assert "PLANTED" not in str(caught.value)


@pytest.mark.parametrize("path", [("data", "source"), ("data", "eval_source")])
def test_an_address_of_data_may_hold_one(path):
    build(TrainConfig, [[Assignment(path, "https://me:pw@x.org/a.txt", "--data")]])


def test_one_name_is_a_list_and_a_list_of_targets_their_text():
    layer = [
        Assignment(("training", "freeze"), "norms", "freeze"),
        Assignment(("data", "keep_fields"), "label", "keep_fields"),
        Assignment(("lora", "targets"), ["q_proj", "v_proj"], "lora_targets"),
    ]
    config = build(TrainConfig, [layer])
    assert (config.training.freeze, config.data.keep_fields) == (["norms"], ["label"])
    assert config.lora.targets == "q_proj,v_proj"
