from __future__ import annotations

import ast

import pytest

from nextfill.data.corpora import builtin
from nextfill.data.corpora.functions import MAX_CHARACTERS, MIN_CHARACTERS, entries

LONG = "    answer = 'a line that is long enough to be read'\n    return answer\n"


def read(source: str | bytes, path: str = "pack/mod.py") -> dict[str, str]:
    raw = source if isinstance(source, bytes) else source.encode()
    return {entry.title: entry.texts[0] for entry in entries(raw, path)}


def indented(text: str, by: str = "    ") -> str:
    return "".join(by + line for line in text.splitlines(keepends=True))


def test_functions_and_methods_stand_at_the_margin_with_their_decorators() -> None:
    method = "@cached\n@other(1)\nasync def work(self):\n" + LONG
    plain = "def fallback():\n" + LONG
    source = "try:\n    import x\nexcept ImportError:\n" + indented(plain)
    source += "class Outer:\n    class Inner:\n" + indented(method, "        ")
    found = {entry.title: entry for entry in entries(source.encode(), "pack/mod.py")}
    assert {title: entry.texts[0] for title, entry in found.items()} == {
        "pack.mod.fallback": plain.rstrip("\n"),
        "pack.mod.Outer.Inner.work": method.rstrip("\n"),
    }
    assert [entry.line for entry in found.values()] == [4, 9]
    assert {entry.unit for entry in found.values()} == {"pack.mod"}


def test_a_function_within_another_is_part_of_it() -> None:
    whole = "def outer():\n" + indented("def inner():\n" + LONG) + "    return inner"
    assert read(whole) == {"pack.mod.outer": whole}


def test_the_short_and_the_long_are_left_out() -> None:
    def of(characters: int) -> str:
        return "def f():\n    return '" + "a" * (characters - 22) + "'"

    assert len(of(100)) == 100
    for size, is_read in (
        (MIN_CHARACTERS - 1, False),
        (MIN_CHARACTERS, True),
        (MAX_CHARACTERS, True),
        (MAX_CHARACTERS + 1, False),
    ):
        assert bool(read(of(size))) == is_read, size


def test_lines_are_those_of_the_parser() -> None:
    """A form feed or a line separator in a string ends none; a carriage return does."""
    odd = "TEXT = '\x0c\u2028\x85'\r\n"
    source = odd + "def f():\r" + LONG.replace("\n", "\r")
    assert read(source) == {"pack.mod.f": ("def f():\n" + LONG).rstrip("\n")}


def test_another_encoding_is_read_by_its_declaration() -> None:
    source = "# -*- coding: latin-1 -*-\ndef f():\n" + LONG.replace("a line", "caf\u00e9")
    assert "caf\u00e9" in read(source.encode("latin-1"))["pack.mod.f"]


def test_a_method_whose_string_begins_further_left_is_left_out() -> None:
    source = (
        'class A:\n    def f(self):\n        """Text\nat the margin, so that nothing moves."""\n'
    )
    assert read(source + "        return 1\n") == {}


def test_what_is_no_python_is_told() -> None:
    with pytest.raises(SyntaxError):
        read("def f(:\n")


@pytest.mark.trial
def test_the_standard_librarys_functions_can_be_read_alone_and_are_held_out_by_module() -> None:
    sides: dict[str, set[str]] = {}
    for split in builtin.SPLITS:
        modules = set()
        for record in builtin.records(("stdlib-code",), split):
            assert isinstance(record.value, dict)
            [text] = record.value["answers"]["text"]
            [node] = ast.parse(text).body
            assert isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            assert MIN_CHARACTERS <= len(text) <= MAX_CHARACTERS
            modules.add(record.value["q_id"].rpartition(":")[0])
        sides[split] = modules
    assert not sides["train"] & sides["test"]
    assert len(sides["test"]) > 20
