"""Tables by columns: JSON as pandas writes it, and Parquet."""

from __future__ import annotations

import io
import json
import logging
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nextfill.config import DataConfig
from nextfill.core.errors import DataError
from nextfill.data.document import ReadCounts
from nextfill.data.preparation import prepare_data
from nextfill.data.records.fields.record_text import documents
from nextfill.data.records.formats.column_tables import columns_for
from nextfill.data.records.python_data.input_files import write_live
from nextfill.data.records.sources import open_source
from tests.unit.data.records.readings import reader_error as fail
from tests.unit.data.records.readings import values_of

TEXTS = [f"Row {n} of the table, about the sea." for n in range(20)]


FRAME = pd.DataFrame({"id": range(20), "text": TEXTS, "kind": ["a", "b"] * 10})


TIMES = FRAME.set_index(pd.date_range("2024-01-01", periods=20))


SOME = FRAME[FRAME["id"] % 2 == 1]  # whose rows have other numbers than 0, 1, 2


def by_pandas(frame: Any, **options: Any) -> str:
    out = io.StringIO()
    frame.to_json(out, **options)
    return out.getvalue()


TABLES = {
    "default": by_pandas(FRAME),
    "of some rows": by_pandas(SOME),
    "indented": by_pandas(FRAME, indent=2),
    "split": by_pandas(FRAME, orient="split"),
    "split without index": by_pandas(FRAME, orient="split", index=False),
    "table": by_pandas(FRAME, orient="table"),
    "index": by_pandas(FRAME, orient="index"),
    "named rows, split": by_pandas(FRAME.set_index(FRAME["text"].str[:6]), orient="split"),
    "times for rows": by_pandas(FRAME.set_index(TIMES.index.astype("int64"))),
    "dates for rows": by_pandas(TIMES, date_format="iso"),
    "tight": json.dumps(FRAME.to_dict("tight")),
    "lists": json.dumps(FRAME.to_dict("list")),
    "one list": json.dumps({"text": TEXTS}),
    "one column": by_pandas(FRAME["text"]),
    "one column, split": by_pandas(FRAME["text"], orient="split"),
    "one column, table": by_pandas(FRAME["text"], orient="table"),
    "old polars": json.dumps(
        {
            "columns": [
                {"name": k, "datatype": "", "values": v} for k, v in FRAME.to_dict("list").items()
            ]
        }
    ),
}


def read(path: Path, **options: Any) -> tuple[list[str], ReadCounts]:
    counts = ReadCounts()
    field = options.pop("text_field", None)
    source = open_source(str(path), text_field=field)
    options = {"join": "|", "explode": False, "keep": (), **options}
    made = documents(source, text_field=field, counts=counts, **options)
    return [document.text for document in made], counts


@pytest.mark.parametrize("suffix", [".json", ".jsonl"])
@pytest.mark.parametrize("name", TABLES)
def test_a_table_by_columns_is_read_as_rows(name: str, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"x{suffix}"
    text = TABLES[name] if suffix == ".json" else json.dumps(json.loads(TABLES[name]))
    path.write_text(text + "\n")
    found, counts = read(path)
    assert found == (SOME["text"].tolist() if name == "of some rows" else TEXTS)
    assert (counts.records, counts.text_field) == (len(found), "text")
    assert list(counts.tables.values()) == [1]
    assert read(path, text_field="text")[0] == found
    assert read(path, text_field="text[]")[0] == found


def test_other_columns_stay_with_their_rows(tmp_path: Path) -> None:
    for name in ("default", "split", "index", "lists", "table"):
        path = tmp_path / f"{name}.json"
        path.write_text(TABLES[name])
        rows = [record.value for record in open_source(str(path)).read()]
        assert [(row["id"], row["kind"]) for row in rows] == list(
            zip(range(20), ["a", "b"] * 10, strict=True)
        )


@pytest.mark.parametrize("suffix", [".json", ".jsonl"])
@pytest.mark.parametrize(
    "record",
    [
        {"version": "1.1", "data": [{"paragraphs": [{"context": "a"}]}, {"paragraphs": []}]},
        {"data": [{"paragraphs": [{"context": "a"}]}]},
        {"id": 3, "answers": {"text": ["one", "two"], "start": [1, 2]}},
        {"text": ["one", "two"], "id": 4},
        {"text": ["one", "two"], "tags": ["a"]},
        {"question": {"en": "a", "de": "b"}, "answer": {"en": "c", "de": "d"}},
        {"schema": "v2", "data": ["a"]},
        {"columns": ["a", "b"], "data": [["c"]]},
        {"columns": 3, "data": [["c"]], "title": "t"},
        {"text": "one"},
        {"scores": [1, 2], "ids": [3, 4]},
        {},
    ],
)
def test_a_record_stays_a_record(record: dict[str, Any], suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"x{suffix}"
    path.write_text(json.dumps(record))
    assert [found.value for found in open_source(str(path)).read()] == [record]


def test_what_is_one_of_several_or_in_an_array_is_a_record(tmp_path: Path) -> None:
    record = {"text": ["one", "two"]}
    line = json.dumps(record)
    for name, content, number in (
        ("x.jsonl", f"{line}\n{line}\n", 2),
        ("x.json", f"{line}\n{line}\n", 2),
        ("y.json", f"[{line}]", 1),
    ):
        (tmp_path / name).write_text(content)
        assert read(tmp_path / name)[0] == ["one|two"] * number
        assert read(tmp_path / name)[1].tables == {}
    assert read(write_live([record], tmp_path / "cache"))[0] == ["one|two"]


@pytest.mark.parametrize(
    "frame",
    [
        FRAME.set_index(FRAME["text"].str[:6]),
        FRAME[["text"]].set_index(FRAME["text"].str[:6]),
        FRAME.set_index(FRAME["text"].str[:6])["text"],
    ],
)
@pytest.mark.parametrize("orient", ["columns", "index"])
def test_rows_with_names_are_never_advised_one_by_one(frame, orient, tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    options = {} if isinstance(frame, pd.Series) else {"orient": orient}
    # Two rows of one name cannot be written so.
    frame = frame.set_axis([f"Leaf {n}" for n in range(20)])
    path.write_text(by_pandas(frame, **options))
    for field in (None, "text"):
        with pytest.raises(DataError) as caught:
            read(path, text_field=field)
        message = str(caught.value)
        assert "orient='records'" in message or "found no field 'text'" in message
        assert "--text-field text.L" not in message
        assert "for example" not in message


def test_it_is_told_of_a_new_store_and_recorded_each_time(tiny_tokenizer, tmp_path, caplog) -> None:
    from transformers import AutoTokenizer

    (tmp_path / "x.json").write_text(TABLES["default"])
    data = DataConfig(source=str(tmp_path / "x.json"))
    tokenizer = AutoTokenizer.from_pretrained(tiny_tokenizer)
    for is_new in (True, False):
        caplog.clear()
        with caplog.at_level(logging.WARNING, "nextfill"):
            prepared = prepare_data(data, tokenizer, seed=0, cache=tmp_path / "cache")
        shape = "columns by row number"
        told = f"x.json: holds a table by columns, read as rows: {shape}" in caplog.text
        assert told == is_new
        assert prepared.train.store.meta["counts"]["tables"] == {shape: 1}


def test_damaged_parquet_names_the_file(tmp_path):
    path = tmp_path / "x.parquet"
    rows = [{"id": str(n), "text": "some text"} for n in range(1000)]
    pq.write_table(pa.Table.from_pylist(rows), path)
    whole = path.read_bytes()
    for content in (whole[:-20], b"no", b"PAR1" + bytes(100) + b"PAR1", whole[:4] + whole[40:]):
        path.write_bytes(content)
        assert "x.parquet" in fail(path)


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


def test_the_columns_of_paths_are_the_longest_that_exist():
    text = pa.string()
    schema = pa.schema([("a", text), ("a.b", text), ("l", pa.list_(text)), ("n", pa.int64())])
    found = {path: columns_for([path], schema) for path in ("a", "a.b", "a.b.c", "a.c", "l[].t")}
    assert found == {"a": ["a"], "a.b": ["a.b"], "a.b.c": ["a.b"], "a.c": ["a"], "l[].t": ["l"]}
    assert columns_for(["a", "n", "l[].x", "a"], schema) == ["a", "n", "l"]
    # What is not there, or is no text, is left to the message, which lists the other columns.
    for paths in (["x"], ["n"], [], ["a", "x"]):
        assert columns_for(paths, schema) is None
    assert columns_for(["a"], pa.schema([("a", text), ("a", text)])) is None
