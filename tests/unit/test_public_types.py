"""Every exception and result that can reach a user has a public name, its parts included."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import pydoc
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import nextfill
from nextfill.config import TrainConfig
from nextfill.config.command_line.python_messages import keyword_errors
from nextfill.config.options import settings
from nextfill.core.errors import NextfillError

SOURCES = Path(nextfill.__file__).parent
PUBLIC = {getattr(nextfill, name) for name in nextfill.__all__}

INTERNAL = {
    "BusyError",  # answers of a server to its clients, and so are the three below
    "ClosedError",
    "GoneError",
    "RequestError",
    "CallbackError",  # unpacked again where text is streamed
    "DamagedStoreError",  # a DataError, whose store is made again where it can be
    "NoFieldError",  # a DataError, after which a source is read without the field
    "UnreadableFileError",  # a DataError, told with those of the files after it
    "ReadingStoppedError",  # of a thread that is asked to stop
    "LostRankError",  # of a group, which joined_ranks makes a RunError of
    "EngineMismatchError",  # a DataError, after which the slower engine begins
    "NotPlainError",  # of settings that pydantic is given then
}
"""Exceptions that are met within the package: each is caught, or is of a public kind."""


def types_in(text: str, module: object) -> Iterator[type]:
    """Yield our own classes that an annotation names."""
    for word in re.findall(r"[A-Z]\w+", text):
        found = getattr(module, word, None)
        if inspect.isclass(found) and found.__module__.startswith("nextfill."):
            yield found


def reached(kind: type, seen: set[type]) -> set[type]:
    """Return a type and all that its fields hold."""
    if kind in seen or not dataclasses.is_dataclass(kind):
        return seen | {kind}
    seen = seen | {kind}
    module = importlib.import_module(kind.__module__)
    for item in dataclasses.fields(kind):
        for inner in types_in(str(item.type), module):
            seen = reached(inner, seen)
    return seen


def test_results_and_their_parts_are_public():
    functions = [one for one in PUBLIC if inspect.isfunction(one)]
    assert len(functions) > 15
    lacking = set()
    for function in functions:
        returned = str(inspect.signature(function).return_annotation)
        for word in re.findall(r"[A-Z]\w+", returned):
            if word not in ("Any", "Iterator", "Mapping", "None", "Path"):
                assert word in nextfill.__all__, f"{function.__name__} returns {word}"
                lacking |= reached(getattr(nextfill, word), set()) - PUBLIC
    assert not lacking


def test_exceptions_are_public_or_of_a_public_kind():
    found = {}
    for path in SOURCES.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                bases = [ast.unparse(base) for base in node.bases]
                if any(base.endswith(("Error", "Exception", "Interrupt")) for base in bases):
                    found[node.name] = path
    assert len(found) > 8
    assert set(found) - set(nextfill.__all__) == INTERNAL


@pytest.mark.parametrize("name", [n for n in nextfill.__all__ if n[0].islower()])
def test_help_is_readable(name):
    function = getattr(nextfill, name)
    text = pydoc.plain(pydoc.render_doc(function))
    assert "Annotated" not in text
    listed = text.partition("Settings:")[2]
    own = inspect.signature(inspect.unwrap(function)).parameters
    settings_of = getattr(function, "settings_of", None)
    for setting in settings(settings_of) if settings_of else ():
        line = f"    {setting.keyword}: {setting.help[:12]}"
        assert line in listed or setting.keyword in own
    doc = inspect.getdoc(function) or ""
    assert doc.splitlines()[0].endswith(".")
    assert "Returns:" in doc


def test_an_error_that_leaves_a_call_has_a_public_type():
    kinds = [NextfillError]
    for kind in kinds:
        kinds += kind.__subclasses__()
    within = [one for one in kinds if one not in PUBLIC]
    assert len(within) >= 4
    for kind in within:
        with pytest.raises(NextfillError) as told, keyword_errors(TrainConfig):
            raise kind.__new__(kind)
        assert type(told.value) in PUBLIC
    with pytest.raises(nextfill.DataError) as found:
        nextfill.evaluate("builtin:base-causal", data=["a b c"] * 20, by="subredit")
    assert type(found.value).__name__ == "DataError"


def test_a_docstring_of_a_function_names_no_flag():
    for one in PUBLIC:
        if inspect.isfunction(one) and hasattr(one, "settings_of"):
            assert re.findall(r"(?<![\w-])--[a-z][a-z-]+", one.__doc__) == [], one.__name__
