"""Data that were tokenized already are called so, and the way back to their text is named."""

from __future__ import annotations

import json

import datasets
import pandas as pd
import pytest
import torch

import nextfill
from nextfill.data.records.sources import open_source

ROW = {"input_ids": [5, 7, 9], "attention_mask": [1, 1, 1], "labels": [5, 7, -100]}
NAMES = r"found tokens \(input_ids(, attention_mask, labels)?\) in the place of text"
WAY_BACK = "leave out map\\(tokenize, ...\\), whose remove_columns took the text away"


class Items(torch.utils.data.Dataset):
    """A data set of PyTorch's, of items that a function makes."""

    def __init__(self, make) -> None:
        self.make = make

    def __len__(self) -> int:
        return 3

    def __getitem__(self, number: int) -> object:
        if number >= 3:
            raise IndexError
        return self.make()


LIVE = {
    "dicts": [ROW] * 3,
    "batches": [{name: [values] * 2 for name, values in ROW.items()}] * 3,
    "data set": datasets.Dataset.from_list([ROW] * 3),
    "frame": pd.DataFrame([ROW] * 3),
    "torch": Items(lambda: {name: torch.tensor(values) for name, values in ROW.items()}),
}


def write(kind, folder):
    frame, path = pd.DataFrame([ROW] * 3), folder / f"tokens.{kind}"
    if kind == "jsonl":
        path.write_text("".join(json.dumps(ROW) + "\n" for _ in range(3)))
    elif kind == "csv":
        frame.to_csv(path)  # with the row numbers, a column without a name
    else:
        frame.to_parquet(path)
    return path


def refused(data, **settings) -> str:
    with pytest.raises(nextfill.DataError) as caught:
        nextfill.prepare(data=data, **settings)
    return str(caught.value)


@pytest.mark.parametrize("settings", [{}, {"text_field": "text"}, {"text_field": "input_ids"}])
@pytest.mark.parametrize("form", LIVE)
def test_live_tokens(form, settings, matches):
    matches(refused(LIVE[form], **settings))


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
def test_files_of_tokens(kind, tmp_path, matches):
    matches(refused(write(kind, tmp_path)))


@pytest.fixture
def matches():
    import re

    def check(message: str) -> None:
        assert re.search(NAMES, message), message
        assert re.search(WAY_BACK, message), message

    return check


@pytest.mark.parametrize("item", [[5, 7], [[5, 7]], torch.tensor([5, 7])], ids=str)
def test_bare_lists_of_ids(item):
    assert "in the place of text" in refused(Items(lambda: item))


def test_text_beside_tokens_is_taken(tmp_path):
    path = tmp_path / "both.jsonl"
    path.write_text("".join(json.dumps({**ROW, "body": f"Leaf {n}"}) + "\n" for n in range(20)))
    assert nextfill.prepare(data=path).ledger["text_field"] == "body"
    assert "name a field of text, body" in refused(path, text_field="input_ids")
    assert "Did you mean 'body'" in refused(path, text_field="boddy")


@pytest.mark.parametrize("value", ["a text", "", [], ["a"], [True], 3, None, [1.5]])
def test_another_value_called_input_ids_is_no_token(value, tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"input_ids": value, "text": "one"}) + "\n")
    assert nextfill.look(data=path).documents == ["one"]
    assert open_source(str(path)).num_files == 1


def test_a_path_to_several_texts_offers_the_longest_first():
    rows = [{"id": "abcdefgh", "answers": {"a_id": ["x1"], "text": ["A long text."]}}] * 9
    assert 'for example text_field="answers.text"' in refused(rows, text_field="answers")
    assert "Did you mean 'answers.text'" in refused(rows, text_field="answer")
