"""Live data come back from their file exactly as they were passed."""

from __future__ import annotations

import datetime
import json
import os
import time
import tracemalloc
import uuid
from dataclasses import fields
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextfill.config import DataConfig, EvaluationConfig, PrepareConfig
from nextfill.config.options import Assignment
from nextfill.core.errors import ConfigError, DataError
from nextfill.data.document import ReadCounts
from nextfill.data.preparation import prepare_part
from nextfill.data.records.fields.record_text import documents
from nextfill.data.records.files import live_name
from nextfill.data.records.python_data.input_files import write_live
from nextfill.data.records.python_data.input_settings import data_files, separate_live
from nextfill.data.records.sources import open_source
from tests.properties import examples


def data(value, key="source", label="data"):
    return Assignment(("data", key), value, label)


def test_names_and_numbers_stay_and_data_are_set_aside():
    names = [data("a.txt"), data(Path("b.txt")), data(None, "eval_source"), data(0.2, "test_size")]
    texts = [data(["x"]), data(iter("x"), "eval_source", "eval_data")]
    other = Assignment(("model", "config"), {"n_layer": 2}, "model.config")
    assert separate_live([*names, *texts, other]) == ([*names, other], texts)


def test_an_array_is_not_compared_with_others():
    import numpy as np

    arrays = [data(np.array(["x", "y"])), data(np.array(["z", "u"]), "eval_source")]
    plain, live = separate_live(arrays)
    assert plain == []
    assert [one.value for one in live] == [arrays[0].value, arrays[1].value]


@pytest.mark.parametrize("value", [["x"], {"a": 1}, object()])
def test_a_dict_that_is_no_section_is_refused(value):
    columns = [data(value, "question", "data.question"), data(value, "body", "data.body")]
    with pytest.raises(ConfigError, match=r"found a dict of question, body. Pass columns as"):
        separate_live(columns)


@pytest.mark.parametrize("label", ["--keep-fields", "data.keep_fields", "keep_fields"])
def test_a_setting_of_the_data_that_is_a_list_is_no_data(label):
    given = [data(["label", "language"], "keep_fields", label), data("a.jsonl")]
    assert separate_live(given) == (given, [])


@pytest.mark.parametrize("name", [item.name for item in fields(EvaluationConfig)])
def test_a_list_for_a_setting_of_evaluations_is_no_evaluation_set(name):
    given = [Assignment(("evaluation", name), ["label"], name)]
    assert separate_live(given) == (given, [])


def test_files_stand_where_data_stood(tmp_path):
    told = []
    seed = Assignment(("seed",), 1, "seed")
    given = [data(["x"]), seed, data(["y", "z"], "eval_source", "eval_data")]

    plain, live = separate_live(given)
    config = PrepareConfig(cache_dir=str(tmp_path))
    files = data_files(config, live, lambda *event: told.append(event[0]))
    assert plain == [seed]
    assert [one.path for one in files] == [given[0].path, given[2].path]
    assert [Path(one.value).name.partition(".")[0] for one in files] == ["1-texts", "2-texts"]
    assert all(Path(one.value).parent == tmp_path / "inputs" for one in files)
    assert told == ["writing down data", "writing down eval_data"]


def test_what_is_plain_is_given_back():
    given = [data("notes.txt")]
    plain, live = separate_live(given)
    assert [*plain, *data_files(PrepareConfig(), live, print)] == given


# Any script, emoji, control characters and every kind of line end; no halves of characters.
TEXTS = st.lists(
    st.none() | st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("\r\n\u2028\0")),
    min_size=1,
    max_size=8,
)


HARD = [
    "a\r\nb\rc\n",
    "",
    None,
    "é 世界 🙂👩‍👩‍👧 \u2028\x00\x1b[2J",
    " ",
    '"quoted" \\ ',
    "\ufeffx",
    "e\u0301",
]


WAYS = {
    "list": lambda texts: texts,
    "tuple": tuple,
    "iterator": iter,
    "dicts": lambda texts: [{"text": text} for text in texts],
    "generator of dicts": lambda texts: ({"n": n, "text": text} for n, text in enumerate(texts)),
    "numpy": lambda texts: np.array(texts, object),
    "pandas": lambda texts: pd.DataFrame({"n": range(len(texts)), "text": texts}, dtype=object),
    "pandas column": lambda texts: pd.Series(texts, dtype=object),
    "polars": lambda texts: pl.DataFrame({"text": pl.Series(texts, dtype=pl.String)}),
    "polars column": lambda texts: pl.Series("body", texts, dtype=pl.String),
    "table": lambda texts: pa.table({"text": pa.array(texts, pa.string())}),
    "batch": lambda texts: pa.record_batch({"text": pa.array(texts, pa.string())}),
    "array": lambda texts: pa.array(texts, pa.large_string()),
    "data set": lambda texts: datasets.Dataset.from_dict({"text": texts}, TEXT),
    "data set's column": lambda texts: datasets.Dataset.from_dict({"text": texts}, TEXT)["text"],
    "iterable data set": lambda texts: datasets.Dataset.from_dict(
        {"text": texts}, TEXT
    ).to_iterable_dataset(),
}


TEXT = datasets.Features({"text": datasets.Value("string")})


def texts_in(path: Path, text_field: str | None = "text") -> list[str | None]:
    """Return the texts of a file by record, None where a record has none."""
    counts = ReadCounts()
    source = open_source(str(path))
    found = documents(
        source, text_field=text_field, join=" ", explode=False, keep=(), counts=counts
    )
    by_record = {document.record: document.text for document in found}
    return [by_record.get(number) for number in range(counts.records)]


@pytest.mark.parametrize("way", WAYS)
def test_every_text_comes_back(way: str, tmp_path: Path) -> None:
    assert texts_in(write_live(WAYS[way](HARD), tmp_path)) == HARD


@examples(60)
@given(texts=TEXTS, way=st.sampled_from(sorted(WAYS)))
def test_any_text_comes_back(
    texts: list[str | None], way: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("any")
    assert texts_in(write_live(WAYS[way](texts), folder)) == texts


@examples(15)
@given(texts=TEXTS)
def test_tokens_are_those_of_a_jsonl_file(
    texts: list[str | None], tiny_tokenizer: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    from transformers import AutoTokenizer

    texts = [*texts, "so that there is some text"]
    tokenizer = AutoTokenizer.from_pretrained(tiny_tokenizer)
    folder = tmp_path_factory.mktemp("ids")
    by_hand = folder / "texts.jsonl"
    by_hand.write_text("".join(json.dumps({"text": t}) + "\n" for t in texts), encoding="utf-8")

    def ids(path: Path) -> tuple[list[list[int]], Any]:
        data = DataConfig(source=str(path), text_field="text")
        store = prepare_part(data, tokenizer, cache=folder / "cache").store
        found = [store.tokens(n).tolist() for n in range(store.num_documents)]
        return found, store.meta["counts"]

    expected = ids(by_hand)
    assert ids(write_live(iter(texts), folder)) == expected
    assert ids(write_live(pl.DataFrame({"text": texts}), folder)) == expected


def test_dicts_come_back_whole(tmp_path: Path) -> None:
    records: list[dict[Any, Any]] = [
        {"a": {"b": [1, None, 0.1, 10**30]}, "text": "x", "n": None},
        {"text": "y", "ö": [], "a": {}},
        {"text": ("one", "two"), "f": float("inf")},
    ]
    path = write_live(records, tmp_path)
    assert path.name.startswith("3-records.")
    found = [record.value for record in open_source(str(path)).read()]
    assert found == [*records[:2], {"text": ["one", "two"], "f": float("inf")}]


def test_what_json_lacks_becomes_text_or_plain_numbers(tmp_path: Path) -> None:
    day, number = datetime.date(2026, 2, 3), uuid.UUID(int=1)
    record = {
        "text": np.str_("x"),
        "n": np.int64(3),
        "v": np.array([1.5]),
        "d": day,
        "p": Path("a"),
        "u": number,
    }
    (found,) = open_source(str(write_live([record], tmp_path))).read()
    others = {"d": "2026-02-03", "p": "a", "u": str(number)}
    assert found.value == {"text": "x", "n": 3, "v": [1.5], **others}


def test_columns_keep_their_types(tmp_path: Path) -> None:
    day = datetime.date(2026, 2, 3)
    frame = pl.DataFrame({"text": ["x"], "day": [day], "raw": [b"\xff"], "tags": [["a", "b"]]})
    (found,) = open_source(str(write_live(frame, tmp_path))).read()
    assert found.value == {"text": "x", "day": day, "raw": b"\xff", "tags": ["a", "b"]}


def test_an_index_is_no_column(tmp_path: Path) -> None:
    frame = pd.DataFrame({"text": ["x", "y"]}, index=["first", "second"])
    found = [record.value for record in open_source(str(write_live(frame, tmp_path))).read()]
    assert found == [{"text": "x"}, {"text": "y"}]


def test_what_a_table_says_of_itself_is_no_content(tmp_path: Path) -> None:
    table = pa.table({"text": ["x", "y"]})
    told = table.replace_schema_metadata({"made": "today"})
    assert write_live(told, tmp_path) == write_live(table, tmp_path)


def test_a_data_set_is_read_as_it_stands(tmp_path: Path) -> None:
    whole = datasets.Dataset.from_dict({"text": list("abcdef")})
    chosen = whole.select([5, 0, 3]).with_format("torch")
    assert texts_in(write_live(chosen, tmp_path)) == ["f", "a", "d"]
    loud = whole.with_transform(lambda rows: {"text": [text.upper() for text in rows["text"]]})
    assert texts_in(write_live(loud, tmp_path)) == list("ABCDEF")


def test_a_data_set_of_pytorchs_needs_only_a_length_and_items(tmp_path: Path) -> None:
    class Texts:
        def __len__(self) -> int:
            return 2

        def __getitem__(self, index: int) -> str:
            return ("x", "y")[index % 2]

    assert texts_in(write_live(Texts(), tmp_path)) == ["x", "y"]


def test_the_file_is_named_by_what_it_holds(tmp_path: Path) -> None:
    first = write_live(["x", "y"], tmp_path)
    inode = first.stat().st_ino
    assert write_live((text for text in "xy"), tmp_path) == first
    assert first.stat().st_ino == inode  # another job may be reading it
    assert write_live(["x", "z"], tmp_path) != first
    assert live_name(first) == "2 texts from Python"
    assert live_name(first.parent.parent / first.name) is None
    first.write_bytes(b"")  # damaged
    assert write_live(["x", "y"], tmp_path) == first
    assert texts_in(first) == ["x", "y"]


@pytest.mark.parametrize("values", [["one", "two"], pd.DataFrame({"text": ["one", "two"]})])
def test_a_damaged_file_is_refused_and_written_again_where_the_data_are_given(
    values: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_live(values, tmp_path)
    whole = path.read_bytes()
    for damaged in (whole.replace(b"one", b"ten"), whole[:-1], whole + b"\n", b""):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=r"from Python.*(Give the same data again|is empty)"):
            open_source(str(path))
        caplog.clear()
        assert write_live(values, tmp_path) == path
        assert path.read_bytes() == whole
        assert f"{path} was damaged, and is written again" in caplog.text
        open_source(str(path))
    caplog.clear()
    write_live(values, tmp_path)
    assert caplog.text == ""


def test_the_memory_does_not_grow_with_the_data(tmp_path: Path) -> None:
    text = "x" * 100_000
    tracemalloc.start()
    path = write_live((f"{number} {text}" for number in range(300)), tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert path.stat().st_size > 30_000_000
    assert peak < 8_000_000


def test_progress_is_told_in_bytes(tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    write_live(["x" * 700_000] * 4, tmp_path, "eval_data", lambda *event: told.append(event))
    assert {label for label, _, _ in told} == {"writing down eval_data"}
    assert [done for _, done, _ in told] == sorted({done for _, done, _ in told})
    assert told[-1][1] > 2_800_000


def test_errors_of_an_iterator_are_its_own_and_leave_nothing(tmp_path: Path) -> None:
    def texts() -> Any:
        yield "x"
        raise OSError("the user's own file is gone")

    with pytest.raises(OSError, match="the user's own"):
        write_live(texts(), tmp_path)
    assert list((tmp_path / "inputs").iterdir()) == []


def test_what_a_killed_process_left_is_swept_after_a_day(tmp_path: Path) -> None:
    folder = tmp_path / "inputs"
    folder.mkdir()
    for name, age_s in ((".1-1.tmp", 25 * 3600), (".1-2.tmp", 3600)):
        (folder / name).touch()
        os.utime(folder / name, (0, time.time() - age_s))
    write_live(["x"], tmp_path)
    assert [path.name for path in folder.glob(".*")] == [".1-2.tmp"]


REFUSED: dict[str, tuple[Any, type[Exception], str]] = {
    "number": (5, ConfigError, "found an int; expected a path"),
    "bytes": (b"text", ConfigError, "expected a path"),
    "function": (print, ConfigError, r"pass what it returns, data=print\(\)"),
    "class": (str, ConfigError, r"pass what it returns, data=str\(\)"),
    "splits": (
        datasets.DatasetDict(train=[], test=[]),
        ConfigError,
        r"found a DatasetDict of train, test. Pass one split .* data=dataset\['train'\]",
    ),
    "set": ({"x", "y"}, ConfigError, r"pass sorted\(data\)"),
    "nothing": ([], DataError, "found a list without a record"),
    "no rows": (pd.DataFrame({"text": []}), DataError, "found a DataFrame without a record"),
    "number inside": (["x", 5], DataError, r"data, record 1: found a value of type int \(5\)"),
    "NaN inside": (["x", float("nan")], DataError, "data, record 1: .* float"),
    "mixed": (["x", {"text": "y"}], DataError, "record 1: found a dict; those before are texts"),
    "mixed otherwise": ([{"text": "y"}, "x"], DataError, "record 1: found a str; .* records"),
    "None among dicts": ([{"text": "y"}, None], DataError, "record 1: found None"),
    "None before dicts": ([None, {"text": "y"}], DataError, "record 0: found None"),
    "half a character": (
        ["x", "\ud83d"],
        DataError,
        r"data, record 1: the text holds \\ud83d, half",
    ),
    "two halves": (["\ud83d\ude00"], DataError, r"data, record 0: the text holds \\ud83d, half"),
    "half in pandas": (pd.DataFrame({"a": ["\ud83d"]}, dtype=object), DataError, "half of a surr"),
    "object": ([{"text": "x", "o": object()}], DataError, "record 0: the field 'o' cannot be"),
    "bytes in a dict": ([{"text": b"x"}], DataError, "record 0: the field 'text' cannot be"),
    "two columns of one name": (
        pd.DataFrame([["x", 1], ["y", "z"]], columns=["a", "a"]),
        DataError,
        "cannot be read as columns",
    ),
    "a column of two types": (pd.Series(["x", 3]), DataError, "cannot be read as columns"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_read_says_what_to_pass(case: str, tmp_path: Path) -> None:
    value, kind, message = REFUSED[case]
    with pytest.raises(kind, match=message):
        write_live(value, tmp_path)


DICTS = [{"text": f"text {n}", "label": n} for n in range(3)]


@pytest.mark.parametrize(
    "column",
    [pd.Series(DICTS), pl.Series(DICTS), pa.array(DICTS), pa.chunked_array([DICTS[:1], DICTS[1:]])],
    ids=["pandas", "polars", "an array of Arrow", "a chunked one"],
)
def test_a_column_of_dicts_is_their_records(column: object, tmp_path: Path) -> None:
    path = write_live(column, tmp_path)
    assert path.name.startswith("3-rows.")
    assert [one.value for one in open_source(str(path)).read()] == DICTS


def test_a_file_or_its_names_are_not_its_texts(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("x", encoding="utf-8")
    with path.open() as file, pytest.raises(ConfigError, match="pass the path of the file"):
        write_live(file, tmp_path)
    with pytest.raises(ConfigError, match="found a list of file names"):
        write_live([str(path)], tmp_path)
    assert texts_in(write_live([str(path), "and a text"], tmp_path)) == [str(path), "and a text"]


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "inputs").touch()
    with pytest.raises(DataError, match=r"inputs cannot be written: .* cache_dir"):
        write_live(["x"], tmp_path)
