"""Prompts from files: in order, one for one, refused with their line."""

from __future__ import annotations

import gzip
import json

import pytest

from nextfill.config import ModelConfig, PromptsConfig
from nextfill.core.errors import DataError, NextfillError
from nextfill.generation.prompts import encode_prompts, name_prompts, prompt_ids, read_prompts
from nextfill.models.load import load_model

THREE = ["one", "two\twords", "drei 🙂"]


def read(path, field=None):
    return [
        (prompt.text, prompt.where.removeprefix(str(path)))
        for prompt in read_prompts(PromptsConfig(source=str(path), prompt_field=field))
    ]


@pytest.fixture(scope="module")
def loaded(tiny_model):
    return load_model(ModelConfig(name=str(tiny_model)))


def test_each_line_of_a_text_file_is_a_prompt(tmp_path):
    path = tmp_path / "prompts.txt"
    path.write_text("\n".join(THREE), encoding="utf-8")
    assert read(path) == [(text, f":{n}") for n, text in enumerate(THREE, 1)]
    path.write_bytes(b"\xef\xbb\xbf" + "\r\n".join([*THREE, ""]).encode())
    assert [text for text, _ in read(path)] == THREE
    packed = tmp_path / "prompts.txt.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert [text for text, _ in read(packed)] == THREE


def records(*rows):
    return "\n".join(json.dumps(row) for row in rows)


@pytest.mark.parametrize(
    ("field", "rows"),
    [
        (None, [{"prompt": text, "title": "no"} for text in THREE]),
        (None, [{"text": text, "title": "no"} for text in THREE]),
        (None, [{"only": text, "n": 1} for text in THREE]),
        ("a.b", [{"a": {"b": text}, "text": "no"} for text in THREE]),
        ("all", [{"all": THREE[:2]}, {"all": THREE[2:]}]),
    ],
)
def test_the_field_of_a_record(tmp_path, field, rows):
    path = tmp_path / "prompts.jsonl"
    path.write_text(records(*rows), encoding="utf-8")
    assert [text for text, _ in read(path, field)] == THREE


def test_tables(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "prompts.parquet"
    pq.write_table(pa.table({"id": [1, 2, 3], "prompt": THREE, "other": ["x"] * 3}), path)
    assert [text for text, _ in read(path)] == THREE
    path = tmp_path / "prompts.csv"
    path.write_text('prompt,other\none,x\n"two\twords",x\n"drei 🙂",x\n', encoding="utf-8")
    assert [text for text, _ in read(path)] == THREE


@pytest.mark.parametrize(
    ("name", "content", "telling"),
    [
        ("p.txt", "one\n\ntwo\n  \n", [":2: the prompt is empty", ":4: the prompt is empty"]),
        ("p.jsonl", records({"prompt": "a"}, {"prompt": None}), [":2: there is no prompt"]),
        ("p.jsonl", records({"prompt": "a"}, {"other": "b"}), [":2: there is no prompt"]),
        ("p.jsonl", records({"prompt": ["a", None]}), [":1 (row 1 of its columns): there is no"]),
        ("p.jsonl", records({"prompt": 3}), [":1: the field 'prompt' holds a number"]),
        ("p.jsonl", records({"a": "x", "b": "y"}), ["for example --prompt-field a"]),
        ("p.jsonl", "{", [":1: not JSON"]),
        ("p.txt", "", ["--prompts", "is empty"]),
        ("p.txt", "\n" * 30, ["and 25 more"]),
        ("p.doc", "x", ["--prompts", "a document of an old Office, which is not read"]),
    ],
)
def test_what_cannot_be_used_is_told_with_its_line(tmp_path, name, content, telling):
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    with pytest.raises(DataError) as caught:
        read(path)
    for part in telling:
        assert part in str(caught.value)
    assert "--data" not in str(caught.value)
    assert "--text-field" not in str(caught.value)


def test_a_field_that_is_not_there(tmp_path):
    path = tmp_path / "p.jsonl"
    path.write_text(records({"prompt": "x"}), encoding="utf-8")
    with pytest.raises(DataError, match=r"no field 'promt' \(--prompt-field\).*'prompt'"):
        read(path, "promt")


def test_all_prompts_are_checked_before_the_first_is_continued(loaded):
    long = "stones " * 200
    with pytest.raises(NextfillError) as caught:
        encode_prompts(loaded, name_prompts(["a", long, "b", long, "c " * 70]), 60)
    lines = str(caught.value).splitlines()
    assert [line.partition(":")[0] for line in lines] == ["prompt 2", "prompt 4", "prompt 5"]
    assert "128 positions" in lines[0]
    assert "Give --max-new-tokens" in lines[2]


@pytest.mark.parametrize("prompt", ["a\udcffb", 5, None, b"bytes"])
def test_what_is_no_text(loaded, prompt):
    with pytest.raises(NextfillError, match=r"no character|has to be a str"):
        prompt_ids(loaded, prompt, 1)


def test_one_prompt_needs_no_number():
    assert [prompt.where for prompt in name_prompts(["a"])] == [""]
    assert [prompt.where for prompt in name_prompts(["a", "b"])] == ["prompt 1", "prompt 2"]
