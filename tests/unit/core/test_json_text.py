"""What Python's scanner of JSON does not take stands beside the text without stopping it."""

from __future__ import annotations

import json
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from nextfill.core.errors import DataError
from nextfill.core.json_text import DEEPEST, loads
from nextfill.data.document import ReadCounts
from nextfill.data.records.fields.record_text import documents
from nextfill.data.records.sources import open_source

DIGITS = "7" * 20_000


def deep(levels: int, inner: str = "1") -> str:
    """Return JSON of lists and objects within one another, with brackets in the names, too."""
    return '[{"]}\\"[": ' * levels + inner + "}]" * levels


BESIDE = {
    "digits": DIGITS,
    "minus": f"-{DIGITS}",
    "digits within": f'[{{"a": {DIGITS}}}]',
    "exponent": "1e400",
    "nan": "[NaN, Infinity, -Infinity]",
    "deep": deep(20_000),
    "rather deep": deep(480),
    "deep with digits": deep(20_000, DIGITS),
    "lists alone": "[" * 950 + "]" * 950,
}


def read(path: Path, field: str | None = None, keep: tuple[str, ...] = ()) -> list[Any]:
    source = open_source(str(path), text_field=field, keep=keep)
    made = documents(
        source,
        text_field=field,
        join=" ",
        explode=False,
        keep=keep,
        counts=ReadCounts(),
    )
    return [(document.text, dict(document.columns)) for document in made]


@pytest.mark.parametrize("name", BESIDE)
@pytest.mark.parametrize("field", ["text", "body", "body[].t"])
def test_the_text_is_read(name: str, field: str, tmp_path: Path) -> None:
    key = field.partition("[")[0]
    text = '[{"t": "a"}]' if key != field else '"a"'
    rows = [f'{{"x": {BESIDE[name]}, "{key}": {text}}}', f'{{"{key}": {text}, "x": null}}']
    for suffix, content in (
        (".jsonl", "\n".join(rows)),
        (".json", "[" + ",\n ".join(rows) + "]"),
        (".json", "\n".join(rows)),
    ):
        path = tmp_path / f"x{suffix}"
        path.write_text(content)
        assert [text for text, _ in read(path, field)] == ["a", "a"]
        if key == field:
            # Nobody names the field; what is beside it is of no type of text.
            path.write_text(content.replace(', "x": null', ""))
            assert [text for text, _ in read(path)] == ["a", "a"]


def test_a_number_is_kept_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(f'{{"text": "a", "n": {DIGITS}}}\n{{"text": "b", "n": 12}}')
    assert read(path, "text", ("n",)) == [("a", {"n": DIGITS}), ("b", {"n": "12"})]
    with pytest.raises(DataError, match=r"x\.jsonl:1: the field 'n' holds"):
        read(path, "n")
    assert loads(f"[{DIGITS}, 3]") == [Decimal(DIGITS), 3]
    assert sys.get_int_max_str_digits() == 4300


def test_only_what_is_deeper_than_any_text_is_left_out() -> None:
    value: Any = json.loads(deep(DEEPEST // 2 - 1, '["here"]'))
    whole = loads(f'{{"near": {deep(DEEPEST // 2 - 1, "[1]")}, "far": {deep(9000)}}}')
    assert json.dumps(whole["near"]).replace("1", '"here"') == json.dumps(value)
    assert json.dumps(whole["far"]).count("{") <= DEEPEST // 2 + 1


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        "[" * 100_000 + "]" * 99_999,
        '{"a": ' * 50_000 + "1" + "]" * 50_000,
        "[" * 50_000 + "]" * 50_000 + "]",
        '{"text": "a" ' + deep(20_000) + "}",
        f'{{"n": {DIGITS}x}}',
        "[" * 50_000 + '"' + "]" * 50_000,
    ],
)
def test_what_is_no_json_is_refused(text: str, tmp_path: Path) -> None:
    for suffix in (".json", ".jsonl"):
        path = tmp_path / f"x{suffix}"
        path.write_text(text)
        with pytest.raises(DataError, match=rf"x\{suffix}:1"):
            read(path)


def test_a_text_in_very_many_lists(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"text": ' + "[" * 900 + '"a"' + "]" * 900 + "}\n" + '{"text": "b"}')
    assert [text for text, _ in read(path)] == ["a", "b"]
