"""CSV and Parquet: what has named columns."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nextfill.core.errors import DataError
from nextfill.data.records.file_formats import format_by_name
from nextfill.data.records.files import ReadOptions, local_file
from nextfill.data.records.sources import READERS, open_source


def values_of(path: Path, **options: str) -> list[object]:
    file = local_file(path, path.name, *format_by_name(path.name))
    return [value for _, value in READERS[file.format](file, ReadOptions(**options))]


def fail(path: Path, **options: str) -> str:
    with pytest.raises(DataError) as caught:
        values_of(path, **options)
    return str(caught.value)


def test_csv_rows_and_errors(tmp_path):
    path = tmp_path / "x.csv"
    path.write_bytes(b'\xef\xbb\xbfid,text\r\n1,"a\r\nb"\r\n\r\n2,""\r\n')
    assert values_of(path) == [{"id": "1", "text": "a\r\nb"}, {"id": "2", "text": ""}]
    path.write_text("id,text\n1," + "x" * 300_000 + "\n")
    assert len(values_of(path)[0]["text"]) == 300_000
    path.write_text('id,text\n1,"a\nb"\n2,b,c\n')
    assert "x.csv:4: found 3 values, but the header names 2: id, text" in fail(path)
    path.write_text("id,text\n1\n")
    assert "x.csv:2: found 1 values" in fail(path)
    path.write_text('id,text\n1,"open\n')
    assert "x.csv:2: not CSV" in fail(path)
    path.write_text('id,text\n1,"a"b\n')
    assert "x.csv:2: not CSV" in fail(path)
    path.write_bytes(b"id,text\n1,a\0b\n")
    assert "x.csv:2: found a NUL" in fail(path)
    path.write_text("id,id\n1,2\n")
    assert "x.csv:1: the header names 'id' more than once" in fail(path)
    path.write_text("id,text\n")
    assert values_of(path) == []


@pytest.mark.parametrize(("mark", "name"), [(";", "semicolons"), ("\t", "tabs"), ("|", "bars")])
def test_other_separators_are_not_read_as_one_column(tmp_path, mark, name):
    path = tmp_path / "x.csv"
    path.write_text(f"id{mark}text\n1{mark}a\n")
    message = fail(path)
    assert f"x.csv:1: looks separated by {name}" in message
    assert "only commas are read" in message
    path.write_text("text\na;b\n")
    assert values_of(path) == [{"text": "a;b"}]


def test_parquet_keeps_nested_values(tmp_path):
    path = tmp_path / "x.parquet"
    rows = [{"answers": {"text": ["a", None]}}, {"answers": {"text": []}}, {"answers": None}]
    pq.write_table(pa.Table.from_pylist(rows), path)
    assert values_of(path) == rows


def test_an_odd_parquet_column_does_not_stand_in_the_way(tmp_path):
    path = tmp_path / "x.parquet"
    far = pa.array([10_000_000, 1], pa.int32()).cast(pa.date32())
    rows = pa.table({"text": ["a", "b"], "far": far, "a.b": ["c", "d"]})
    pq.write_table(rows, path)
    assert values_of(path, fields=("text",)) == [{"text": "a"}, {"text": "b"}]
    assert values_of(path, fields=("a.b",)) == [{"a.b": "c"}, {"a.b": "d"}]
    assert "x.parquet: a value in the rows from 0 on cannot be read" in fail(path)
    assert "--text-field" in fail(path)
    records = open_source(str(path), text_field="text").read()
    assert [record.value for record in records] == [{"text": "a"}, {"text": "b"}]


@pytest.mark.parametrize("mark", [",", ";", "|", "\t"])
@pytest.mark.parametrize("quoted", [False, True])
def test_excels_line_says_the_separator(tmp_path, mark, quoted):
    path = tmp_path / "x.csv"
    first = f'"sep={mark}"' if quoted else f"sep={mark}"
    path.write_bytes(f'\ufeff{first}\r\nid{mark}text\r\n1{mark}"a{mark}b, c; d"\r\n'.encode())
    assert values_of(path) == [{"id": "1", "text": f"a{mark}b, c; d"}]
    path.write_text(f"{first}\nid{mark}text\n1{mark}a\n2\n")
    assert "x.csv:4: found 1 values" in fail(path)
    path.write_text(f'{first}\nid{mark}text\n1{mark}"a"b\n')
    assert ("x.csv:3: not TSV" if mark == "\t" else "x.csv:3: not CSV") in fail(path)


def test_a_semicolon_is_told_what_to_type(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("id;text\n1;a\n")
    assert "put a line sep=; before it" in fail(path)


def test_the_names_of_rows_are_no_text(tmp_path):
    from nextfill.data.document import ReadCounts
    from nextfill.data.records.fields import documents

    path = tmp_path / "x.csv"
    for content in ('"","body"\n"1","a"\n"2","b"\n', ",body\n0,a\n1,b\n", "body,\na,\nb,\n"):
        path.write_text(content)
        options = {"text_field": None, "join": " ", "explode": False, "keep": ()}
        made = documents(open_source(str(path)), counts=ReadCounts(), **options)
        assert [document.text for document in made] == ["a", "b"]
