"""Frames whose columns Parquet or Arrow has no type for: all of their values come back."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from nextfill.core.errors import DataError
from nextfill.data.document import ReadCounts
from nextfill.data.records.fields.record_text import documents
from nextfill.data.records.files import live_name
from nextfill.data.records.python_data.input_files import write_live
from nextfill.data.records.sources import open_source

TEXTS = ["The oak fell.", None, "Śnieg, снег, 雪", "The oak fell."]
VIEWS = pa.DictionaryArray.from_arrays(
    pa.array([0, None, 1, 0], pa.uint32()), pa.array([TEXTS[0], TEXTS[2]], pa.string_view())
)
ENDS = pa.array([0, 1, 2, 3, 4], pa.int32())
DAY = datetime.datetime(2024, 1, 1)


def values_of(value: Any, folder: Path) -> list[Any]:
    return [record.value for record in open_source(str(write_live(value, folder))).read()]


def texts_of(value: Any, folder: Path) -> list[str | None]:
    counts = ReadCounts()
    options = {"text_field": "text", "join": " ", "explode": False, "keep": (), "counts": counts}
    made = documents(open_source(str(write_live(value, folder))), **options)
    found = {document.record: document.text for document in made}
    return [found.get(number) for number in range(counts.records)]


FRAMES: dict[str, Any] = {
    "polars Categorical": pl.DataFrame({"text": pl.Series(TEXTS, dtype=pl.Categorical)}),
    "polars Categorical alone": pl.Series("other", TEXTS, dtype=pl.Categorical),
    "polars Enum": pl.DataFrame({"text": pl.Series(TEXTS, dtype=pl.Enum([TEXTS[0], TEXTS[2]]))}),
    "polars Object": pl.DataFrame({"text": pl.Series(TEXTS, dtype=pl.Object)}),
    "polars Object alone": pl.Series(TEXTS, dtype=pl.Object),
    "polars lazy": pl.LazyFrame({"text": TEXTS}),
    "polars in pieces": pl.concat(
        [pl.DataFrame({"text": pl.Series([text], dtype=pl.Categorical)}) for text in TEXTS],
        rechunk=False,
    ),
    "pandas Categorical": pd.DataFrame({"text": pd.Categorical(TEXTS)}),
    "pandas Categorical alone": pd.Series(pd.Categorical(TEXTS)),
    "pandas of Arrow": pd.DataFrame({"text": pd.Series(VIEWS, dtype=pd.ArrowDtype(VIEWS.type))}),
    "pandas with NaN": pd.DataFrame({"text": [TEXTS[0], np.nan, *TEXTS[2:]]}, dtype=object),
    "pandas with NA": pd.DataFrame({"text": [TEXTS[0], pd.NA, *TEXTS[2:]]}, dtype="string"),
    "dictionary of views": pa.table({"text": VIEWS}),
    "dictionary of views alone": VIEWS,
    "a batch of it": pa.record_batch({"text": VIEWS}),
    "views": pa.table({"text": pa.array(TEXTS, pa.string_view())}),
    "list of dictionaries": pa.table({"text": pa.ListArray.from_arrays(ENDS, VIEWS)}),
    "runs": pa.table({"text": pa.RunEndEncodedArray.from_arrays(ENDS[1:], pa.array(TEXTS))}),
    "dictionary of lists": pa.table(
        {
            "text": pa.DictionaryArray.from_arrays(
                pa.array([0, None, 1, 0]), pa.array([[TEXTS[0]], [TEXTS[2]]])
            )
        }
    ),
}


@pytest.mark.parametrize("name", FRAMES)
def test_the_text_comes_back_from_any_type_of_column(name: str, tmp_path: Path) -> None:
    assert texts_of(FRAMES[name], tmp_path) == TEXTS


BESIDE: dict[str, tuple[Any, list[Any]]] = {
    "mixed": (
        pd.Series([1, "a", np.nan, {"k": [2.5]}], dtype=object),
        [1, "a", None, {"k": [2.5]}],
    ),
    "mixed with what JSON lacks": (
        pd.Series([b"z", pd.NaT, DAY, pd.Interval(0, 1)], dtype=object),
        [{"bytes": "b'z'"}, None, str(DAY), {"Interval": "(0, 1]"}],
    ),
    "thousands of digits": (
        pd.Series([10**5000, -1, None, 10**30], dtype=object),
        [10**5000, -1, None, 10**30],
    ),
    "beyond a double": (pd.Series([1e400, 2.5, np.nan, -1e400]), [np.inf, 2.5, None, -np.inf]),
    "polars Int128": (pl.Series([10**30, None, 1, 2], dtype=pl.Int128), [10**30, None, 1, 2]),
    "polars Object": (
        pl.Series([["a"], {"b": 1}, None, "c"], dtype=pl.Object),
        [["a"], {"b": 1}, None, "c"],
    ),
    "polars Enum": (
        pl.Series(["a", "b", None, "a"], dtype=pl.Enum(["a", "b"])),
        ["a", "b", None, "a"],
    ),
    "polars nested Categorical": (
        pl.Series([{"x": ["a"]}] * 4, dtype=pl.Struct({"x": pl.List(pl.Categorical)})),
        [{"x": ["a"]}] * 4,
    ),
    "interval": (pa.array([(1, 2, 3)] * 4, pa.month_day_nano_interval()), [[1, 2, 3]] * 4),
    "no fields": (pa.array([{}] * 4, pa.struct([])), [{}] * 4),
    "union": (
        pa.UnionArray.from_sparse(
            pa.array([0, 1, 0, 1], pa.int8()), [pa.array(["a", "b", None, "d"]), pa.array([1] * 4)]
        ),
        ["a", 1, None, 1],
    ),
}


@pytest.mark.parametrize("name", BESIDE)
def test_a_column_beside_the_text_keeps_its_values(name: str, tmp_path: Path) -> None:
    column, expected = BESIDE[name]
    texts = ["one", None, "three\r\n", "four"]
    if isinstance(column, pd.Series):
        frame: Any = pd.DataFrame({"text": texts, "x": column})
    elif isinstance(column, pl.Series):
        frame = pl.DataFrame({"text": texts, "x": column})
    else:
        frame = pa.table({"text": texts, "x": column})
    path = write_live(frame, tmp_path)
    assert live_name(path) == "4 rows from Python"
    assert write_live(frame, tmp_path) == path
    assert texts_of(frame, tmp_path) == texts
    assert [row["x"] for row in values_of(frame, tmp_path)] == expected


def test_a_text_column_that_is_mixed_names_the_record(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"record 1\): the field 'text' holds a number"):
        texts_of(pd.DataFrame({"text": ["x", 3, None]}), tmp_path)
    with pytest.raises(DataError, match=r"record 1\): the field 'text' holds an object"):
        texts_of(pd.DataFrame({"text": ["x", b"3", 5]}), tmp_path)


def test_dicts_with_thousands_of_digits(tmp_path: Path) -> None:
    records = [{"text": "x", "n": [10**5000, {"m": -(10**4300)}]}, {"text": "y", "n": 1}]
    assert values_of(records, tmp_path) == records
