"""The notebook of the guides is whole, holds no outputs, and says what the page says."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import json
import re
from pathlib import Path

import nbformat
import pytest

import nextfill

ROOT = Path(__file__).parents[2]
PAGE, NOTEBOOK = ROOT / "docs" / "guides.md", ROOT / "docs" / "guides.ipynb"
CALL = re.compile(r"nextfill\.(?:keras\.)?[a-z_]+\(")


def renewal():
    """The script that copies the page's tables into the notebook."""
    path = ROOT / "scripts" / "renew_guides_notebook.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def book():
    read = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(read)
    return read


def test_it_is_committed_without_outputs(book):
    for cell in book.cells:
        assert cell.metadata == {}
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None
    assert NOTEBOOK.stat().st_size < 20_000


def test_its_tables_are_those_of_the_page():
    script, page = renewal(), PAGE.read_text("utf-8")
    plain = json.loads(NOTEBOOK.read_text("utf-8"))
    assert script.renewed(plain, page) == plain, "run scripts/renew_guides_notebook.py"
    assert len(script.tables(page)) == 4
    text = "".join("".join(cell["source"]) for cell in plain["cells"])
    assert all(table in text for table in script.tables(page).values())


def test_a_changed_page_shows(book):
    script, page = renewal(), PAGE.read_text("utf-8")
    plain = json.loads(NOTEBOOK.read_text("utf-8"))
    changed = page.replace("| nothing to say |", "| something else |", 1)
    assert script.renewed(plain, changed) != plain


def test_every_call_of_the_page_is_made_in_the_notebook(book):
    on_page = set(CALL.findall("".join(re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.S))))
    code = "\n".join(cell.source for cell in book.cells if cell.cell_type == "code")
    assert len(on_page) >= 6
    assert on_page <= set(CALL.findall(code))


def test_what_it_names_is_there(book):
    for cell in book.cells:
        for node in ast.walk(ast.parse(cell.source)) if cell.cell_type == "code" else ():
            if not isinstance(node, ast.Call) or not ast.unparse(node.func).startswith("nextfill."):
                continue
            called = nextfill
            for name in ast.unparse(node.func).split(".")[1:]:
                called = getattr(called, name)
            known = inspect.signature(called).parameters
            assert {keyword.arg for keyword in node.keywords} - {None} <= known.keys(), cell.source
