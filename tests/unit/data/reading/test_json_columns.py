"""JSON that holds a table by columns gives its rows, and a record stays a record."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pytest

import nextfill

TEXTS = [f"Row {number} of the table." for number in range(12)]
FRAME = pd.DataFrame({"id": range(12), "text": TEXTS})


def texts(file: Path) -> list[Any]:
    return [record["text"] for record in nextfill.read_records(str(file))]


@pytest.mark.parametrize("orient", ["columns", "split", "table", "records"])
@pytest.mark.parametrize("count", [1, 2, 12])
def test_what_pandas_writes_is_its_rows(orient: Any, count: int, tmp_path: Path) -> None:
    file = tmp_path / "frame.json"
    FRAME.iloc[:count].to_json(file, orient=orient)
    assert texts(file) == TEXTS[:count]


def test_rows_that_were_chosen_keep_their_numbers(tmp_path: Path) -> None:
    file = tmp_path / "frame.json"
    FRAME[FRAME.id % 5 == 3].to_json(file)
    assert texts(file) == [TEXTS[3], TEXTS[8]]


@pytest.mark.parametrize("value", [{"text": TEXTS}, {"id": list(range(12)), "text": TEXTS}])
def test_lists_of_one_length_are_columns(value: Any, tmp_path: Path) -> None:
    file = tmp_path / "lists.json"
    file.write_text(json.dumps(value))
    assert texts(file) == TEXTS


@pytest.mark.parametrize(
    "value",
    [
        {"text": "a record", "answers": ["a", "b"]},
        {"text": {"en": "a", "de": "b"}},
        {"text": {"0": "a"}, "more": {"1": "b"}},
        {"text": [["a"], ["b"]], "more": [["c"], ["d"]]},
        {"text": ["a", "b"], "more": ["c"]},
        {"text": ["a"]},
        {"text": [1, 2]},
        {"columns": ["text"], "data": "no rows", "text": "a"},
    ],
)
@pytest.mark.parametrize("wrapped", [False, True])
def test_a_record_stays_one_record(value: Any, wrapped: bool, tmp_path: Path) -> None:
    file = tmp_path / "record.json"
    file.write_text(json.dumps([value] if wrapped else value))
    assert list(nextfill.read_records(str(file))) == [value]


def test_columns_in_an_array_are_records_of_their_own(tmp_path: Path) -> None:
    file = tmp_path / "records.json"
    file.write_text(json.dumps([{"text": TEXTS}]))
    assert texts(file) == [TEXTS]


@pytest.mark.parametrize("name", ["big.json", "big.jsonl"])
@pytest.mark.parametrize("number", ["9" * 5000, "-" + "1" * 4301])
def test_an_integer_of_thousands_of_digits_beside_the_text(
    name: str, number: str, tmp_path: Path
) -> None:
    file = tmp_path / name
    lines = '{"text": "before", "n": 1}', '{"text": "Śnieg", "n": ' + number + "}"
    file.write_text("\n".join(lines))
    assert texts(file) == ["before", "Śnieg"]


@pytest.mark.parametrize(
    "frame",
    [
        pl.DataFrame({"text": pl.Series(["a", "b", None], dtype=pl.Categorical)}),
        pl.DataFrame({"text": pl.Series(["a", "b", None], dtype=pl.Enum(["a", "b"]))}),
        pl.LazyFrame({"text": ["a", "b", None]}),
        pd.DataFrame({"text": pd.Categorical(["a", "b", None])}),
        pd.DataFrame({"text": ["a", "b", None], "x": [1, "y", [2]]}),
    ],
    ids=["categorical", "enum", "lazy", "pandas categorical", "mixed beside"],
)
def test_frames_of_few_kinds_lazy_ones_and_mixed_columns(frame: Any, tmp_path: Path) -> None:
    ledger = nextfill.prepare(
        data=frame, text_field="text", test_size=1, cache_dir=tmp_path / "cache"
    ).ledger
    assert (ledger["documents"], ledger["skipped"]) == (2, {"null": 1})
