"""The stub of the package says what the settings say."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path

import nextfill
from nextfill.config import TrainConfig
from nextfill.config.options import settings

ROOT = Path(__file__).parents[2]


def make_stubs():
    spec = importlib.util.spec_from_file_location("make_stubs", ROOT / "scripts/make_stubs.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_it_is_up_to_date():
    script = make_stubs()
    assert script.STUB.read_text("utf-8") == script.formatted(script.stub()), (
        "a setting or a verb was changed: run scripts/make_stubs.py"
    )


def test_layers_of_an_adapter_may_be_a_list():
    tree = ast.parse(make_stubs().STUB.read_text("utf-8"))
    train = next(one for one in tree.body if getattr(one, "name", "") == "train")
    kinds = {one.arg: ast.unparse(one.annotation) for one in train.args.kwonlyargs}
    assert kinds["lora_targets"] == "str | Sequence[str] | None"


def test_it_has_every_public_name_and_every_setting():
    tree = ast.parse(make_stubs().STUB.read_text("utf-8"))
    functions = {one.name: one for one in tree.body if isinstance(one, ast.FunctionDef)}
    imported = {
        alias.asname for one in tree.body if isinstance(one, ast.ImportFrom) for alias in one.names
    }
    assert {*nextfill.__all__} <= {*functions} | imported
    arguments = {argument.arg for argument in functions["train"].args.kwonlyargs}
    assert {setting.keyword for setting in settings(TrainConfig)} <= arguments
    assert functions["train"].args.kwarg is None
    for setting in settings(TrainConfig):
        assert f"{setting.keyword}: {setting.help[:20]}" in ast.get_docstring(functions["train"])
