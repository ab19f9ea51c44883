"""`read_records` takes a name, and its errors speak Python."""

from __future__ import annotations

from pathlib import Path

import datasets
import pytest

import nextfill
from nextfill.core.errors import ConfigError, DataError

ROWS = [{"text": "one"}, {"text": "two"}]


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        (datasets.DatasetDict({"train": datasets.Dataset.from_list(ROWS)}), "a DatasetDict"),
        (ROWS, "a list"),
        (iter(ROWS), "a list_iterator"),
    ],
)
def test_records_that_are_there_are_not_read_anew(given, kind):
    with pytest.raises(ConfigError) as raised:
        nextfill.read_records(given)
    assert f"takes the name of data, and found {kind}. Iterate over yours" in str(raised.value)


def test_a_slice_is_named_as_python_types_it(tmp_path: Path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "one"}\n')
    with pytest.raises(DataError, match="split='dev'"):
        nextfill.read_records(path, split="dev")
    with pytest.raises(DataError) as raised:
        list(nextfill.read_records(path, split="train[5:]"))
    assert "--" not in str(raised.value)
    assert list(nextfill.read_records(str(path))) == [{"text": "one"}]
