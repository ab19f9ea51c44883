"""The notebook is whole and holds no outputs; the trial runs it.

Outputs are left out, because they would be wrong after the next change, and nobody reads a diff of
pictures. The README has the figures.
"""

from __future__ import annotations

import ast
import inspect
import re
import shlex
from pathlib import Path
from typing import Any

import nbformat
import pytest

import nextfill
from nextfill.cli.main import COMMANDS, main

GUIDE = Path(__file__).parents[2] / "docs" / "guide.ipynb"


@pytest.fixture(scope="module")
def guide() -> Any:
    book = nbformat.read(GUIDE, as_version=4)
    nbformat.validate(book)
    return book


def sources(guide: Any, kind: str) -> list[str]:
    return [cell.source for cell in guide.cells if cell.cell_type == kind]


def test_it_is_committed_without_outputs(guide: Any) -> None:
    for cell in guide.cells:
        assert cell.metadata == {}
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None
    assert guide.metadata.kernelspec.name == "python3"
    assert GUIDE.stat().st_size < 20_000


def test_it_goes_from_end_to_end(guide: Any) -> None:
    code = "\n".join(sources(guide, "code"))
    order = ["read_records", "prepare", "train", "generate", "evaluate", "packed_dataset"]
    places = [code.index(f"nextfill.{name}(") for name in order]
    assert places == sorted(places)
    assert "top_k=50" in code
    assert "top_p=0.95" in code


def test_what_it_names_is_there(guide: Any) -> None:
    for source in sources(guide, "code"):
        for node in ast.walk(ast.parse(source)):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            if getattr(node.func.value, "id", "") != "nextfill":
                continue
            known = inspect.signature(getattr(nextfill, node.func.attr)).parameters
            named = {keyword.arg for keyword in node.keywords} - {None}
            assert named <= known.keys(), source


def test_its_commands_are_commands(guide: Any, capsys: pytest.CaptureFixture[str]) -> None:
    found = commands("\n".join(sources(guide, "markdown")))
    assert [words[1] for words in found] == ["train", "generate", "evaluate"]
    for words in found:
        assert words[1] in COMMANDS
        assert main([words[1], "--help"]) == 0
        known = set(capsys.readouterr().out.replace(",", " ").split())
        assert {word for word in words if word.startswith("--")} <= known


def commands(text: str) -> list[list[str]]:
    """Return the commands of the console blocks, each as its words."""
    blocks = re.findall(r"```console\n(.*?)```", text, re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [shlex.split(line.removeprefix("$")) for line in lines if line.startswith("$")]
