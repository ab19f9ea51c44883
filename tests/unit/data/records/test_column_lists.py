"""A dict in the place of data is columns, settings, or a record with advice."""

from __future__ import annotations

import json

import pytest

import nextfill
from nextfill.core.errors import ConfigError, DataError
from nextfill.data.records.python_data.column_lists import rows_of_columns

ROWS = [{"text": f"Text number {number}.", "label": number} for number in range(12)]
COLUMNS = {"text": [one["text"] for one in ROWS], "label": [one["label"] for one in ROWS]}


def test_a_slice_of_a_data_set_is_read_as_its_rows(tmp_path):
    import datasets
    import numpy as np

    data = datasets.Dataset.from_list(ROWS)
    assert rows_of_columns("data", data[:12]) == ROWS
    assert rows_of_columns("data", data.with_format("numpy")[:12]) == ROWS
    assert rows_of_columns("data", {"text": np.array(["a", "b"])}) == [{"text": "a"}, {"text": "b"}]
    (tmp_path / "a.json").write_text(json.dumps(COLUMNS))
    of_file = nextfill.look(data=tmp_path / "a.json")
    assert nextfill.look(data=COLUMNS).to_json()["num_tokens"] == of_file.to_json()["num_tokens"]
    assert nextfill.look(data=COLUMNS).to_json() == nextfill.look(data=ROWS).to_json()


@pytest.mark.parametrize("keyword", ["data", "eval_data"])
@pytest.mark.parametrize("record", [{"text": "a"}, {"text": "a", "meta": {"b": 1}}, {"q": "a"}])
def test_one_record_is_to_be_passed_in_a_list(keyword, record):
    words = {"data": ROWS, keyword: record}
    with pytest.raises(ConfigError, match=rf"^{keyword}: .*Pass it in a list: \[record\]\.$"):
        nextfill.prepare(**words)


@pytest.mark.parametrize(
    "value",
    [
        {"source": "a.txt", "split": "train"},
        {"train": ["a"], "test": ["b"]},
        {"validation": ["a"]},
        {"split": "train[:3]"},
        {"sorce": "a.txt"},
        {},
        ["a"],
        "a.txt",
        None,
    ],
)
def test_settings_splits_and_other_values_stay(value):
    assert rows_of_columns("data", value) is value


def test_columns_of_unequal_length_and_misspelled_settings_are_refused_as_before():
    with pytest.raises(ConfigError, match="found a dict of text, label"):
        nextfill.prepare(data={"text": ["a", "b"], "label": [1]})
    with pytest.raises(ConfigError, match="Did you mean 'source'"):
        nextfill.prepare(data={"sorce": "a.txt"})


def test_lists_of_texts_are_to_be_joined():
    with pytest.raises(DataError, match=r'data=\[" "\.join\(texts\) for texts in data\]$'):
        nextfill.prepare(data=[["a", "b"], ["c"]])
    with pytest.raises(DataError, match=r"or a dict with one$"):
        nextfill.prepare(data=[["a", 1.5]])
