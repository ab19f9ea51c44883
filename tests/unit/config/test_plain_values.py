"""Settings made without pydantic are those that it makes; what it refuses is left to it."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from nextfill.cli.main import COMMANDS
from nextfill.config import DataConfig, PrepareConfig, TrainConfig
from nextfill.config.options import sections
from nextfill.config.plain_values import NotPlainError, of_plain_values
from nextfill.config.value_types import kinds
from tests.properties import examples

ROOTS = list({command.root: None for command in COMMANDS.values()})
VALIDATORS = {root: TypeAdapter(root).validate_python for root in ROOTS}

ODD: list[Any] = [
    *(None, True, False, 0, 1, 2, -1, 5, 1024, 2**31, 2**53, 2**53 + 1, 2**63 - 1, 2**63, 10**400),
    *(0.0, -0.0, 0.5, 1.0, 3.5, 1e-8, 1e300, float("nan"), float("inf"), -float("inf")),
    *(
        "",
        "a",
        "true",
        "no",
        "0",
        "1",
        "-1",
        "+3",
        "007",
        "1_000",
        " 5",
        "5 ",
        "5\n",
        "1.0",
        "1.000",
    ),
    *(".5", "5.", "1e5", "1e-5", "1E5", "1e400", "1e-99", "0x10", "nan", "inf", "9" * 17),
    *(
        "9" * 18,
        "9" * 19,
        "9" * 400,
        "0.1",
        "123456789.123456789",
        "0.30000000000000004",
        "é",
        "\ud800",
    ),
    *("٣", "1٣", b"a", b"5", [], {}, [1], ["a"], ["\ud800"], [""], ("a",), {"a": 1}, {1: 2}, [{}]),
    *([{"source": "a.txt"}], [{"source": "a.txt", "weight": 2}], {"source": "a.txt"}),
    *({"general": {"source": "b.txt"}}, {"general": {}}, {"\ud800": 1}, {"n_layer": [2, None]}),
    *(DataConfig(source="c.txt"), [DataConfig(source="c.txt")], Path("a"), object()),
    *([{"end": 3, "num_steps": 3, "learning_rate": 0.5}], "auto", "causal", "bf16", "4"),
]


def described(value: Any) -> Any:
    """Return the types and values of settings, remembered arguments and all."""
    if is_dataclass(value) and not isinstance(value, type):
        return type(value), {key: described(one) for key, one in vars(value).items()}
    if isinstance(value, list):
        return [described(one) for one in value]
    if isinstance(value, dict):
        return {key: described(one) for key, one in value.items()}
    return type(value), repr(value)


def choices(annotation: Any) -> list[Any]:
    """Return the words of an annotation, which are plain, and odd values."""
    words = [part for kind in kinds(annotation) for part in get_args(kind) if type(part) is str]
    return [*words, *ODD]


def tables(owner: type) -> st.SearchStrategy[dict[str, Any]]:
    annotations = {item.name: item.type for item in fields(owner)}
    one = st.sampled_from([*annotations, "no_such"]).flatmap(
        lambda name: st.tuples(st.just(name), st.sampled_from(choices(annotations.get(name, int))))
    )
    return st.lists(one, max_size=3).map(dict)


def trees(root: type) -> st.SearchStrategy[tuple[type, dict[str, Any]]]:
    nested = sections(root)
    if not nested:
        return st.tuples(st.just(root), tables(root))
    within = st.sampled_from([*nested]).flatmap(
        lambda name: st.tuples(st.just(name), tables(nested[name]))
    )
    merged = st.tuples(tables(root), st.lists(within, max_size=2)).map(
        lambda both: {**both[0], **dict(both[1])}
    )
    return st.tuples(st.just(root), merged)


def assert_same(root: type, tree: dict[str, Any]) -> bool:
    """Return whether a tree is plain."""
    try:
        made = of_plain_values(root, tree)
    except NotPlainError:
        return False
    assert described(made) == described(VALIDATORS[root](tree))
    return True


@given(st.sampled_from(ROOTS).flatmap(trees))
@examples(1000)
def test_what_is_made_is_what_pydantic_makes(job: tuple[type, dict[str, Any]]) -> None:
    assert_same(*job)


@pytest.mark.parametrize("root", ROOTS, ids=lambda root: root.__name__)
def test_each_setting_with_each_value(root: type) -> None:
    plain = 0
    for name, owner in {"": root, **sections(root)}.items():
        for item in fields(owner):
            for value in choices(item.type):
                tree = {item.name: value}
                plain += assert_same(root, {name: tree} if name else tree)
    assert plain or not fields(root)


def test_numbers_of_a_command_line_and_of_a_program_are_plain() -> None:
    data = {"source": "a.txt", "test_size": "0.1", "keep_fields": ["label"], "explode": True}
    tree = {"seed": "3", "data": data, "blocks": {"block_size": 128}, "cache_dir": "é"}
    assert assert_same(PrepareConfig, tree)
    training = {"learning_rate": "5e-5", "epochs": 3, "schedule": "cosine"}
    assert assert_same(TrainConfig, {"training": training, "model": {"config": {"n_layer": 2}}})
    with pytest.raises(ValidationError):
        VALIDATORS[PrepareConfig]({"data": {"test_size": 0}})
    assert not assert_same(PrepareConfig, {"data": {"test_size": 0}})


def test_the_table_is_left_as_it_is() -> None:
    tree = {"data": {"keep_fields": ["a"]}}
    made = of_plain_values(PrepareConfig, tree)
    made.data.keep_fields.append("b")
    assert tree == {"data": {"keep_fields": ["a"]}}


def test_a_preparation_imports_no_pydantic(tiny_tokenizer: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("\n\n".join(f"Note {at} of many." for at in range(40)))
    words = ["prepare", "--data", "notes.txt", "--tokenizer", str(tiny_tokenizer)]
    words += ["--block-size", "8", "--cache-dir", "cache", "--quiet"]
    program = (
        "import sys; from nextfill.cli.main import main\n"
        "assert main(sys.argv[1:]) == 0\n"
        "print(*{'pydantic', 'awkward', 'torch'} & set(sys.modules))\n"
    )
    for _ in range(2):  # the second time by what is remembered
        told = subprocess.check_output(
            [sys.executable, "-c", program, *words], cwd=tmp_path, text=True
        )
        assert told.splitlines()[-1] == ""
