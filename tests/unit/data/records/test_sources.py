from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nextfill.core.errors import ConfigError, DataError
from nextfill.data.corpora import builtin
from nextfill.data.records.sources import open_source


@pytest.fixture
def ten(tmp_path: Path) -> Path:
    path = tmp_path / "ten.jsonl"
    path.write_text("".join(json.dumps({"text": f"t{i}"}) + "\n" for i in range(10)))
    return path


def texts(source):
    return [record.value["text"] for record in source.read()]


def fail(spec, **options):
    with pytest.raises(DataError) as caught:
        list(open_source(str(spec), **options).read())
    return str(caught.value)


def test_a_source_can_be_read_again_and_again(ten):
    source = open_source(str(ten))
    first, second = source.read(), source.read()
    assert next(first) == next(second)
    assert len(list(first)) == len(list(second)) == 9
    assert texts(source) == [f"t{i}" for i in range(10)]
    assert [record.number for record in source.read()] == list(range(10))
    assert source.name == str(ten)
    assert not source.has_test_split
    assert source.default_text_field is None
    assert source.default_join == " "


def test_slices_number_anew_and_keep_the_place(ten):
    records = list(open_source(str(ten), split="train[-2:]+train[:20%]").read())
    assert [record.value["text"] for record in records] == ["t8", "t9", "t0", "t1"]
    assert [record.number for record in records] == [0, 1, 2, 3]
    assert records[0].where == f"{ten}:9"


def test_a_parquet_file_is_counted_by_its_metadata(tmp_path):
    for suffix, pack in ((".parquet", bytes), (".parquet.gz", gzip.compress)):
        path = tmp_path / f"x{suffix}"
        plain = tmp_path / "plain"
        pq.write_table(pa.table({"text": [f"t{i}" for i in range(1000)]}), plain)
        path.write_bytes(pack(plain.read_bytes()))
        assert texts(open_source(str(path), split="train[99%:]")) == [
            f"t{i}" for i in range(990, 1000)
        ]


def test_the_fingerprint_is_that_of_the_records(ten, tmp_path):
    same = tmp_path / "same.jsonl"
    same.write_bytes(ten.read_bytes())
    fingerprint = open_source(str(ten)).fingerprint
    assert len(fingerprint) == 64
    assert open_source(str(same)).fingerprint == fingerprint
    assert open_source(str(ten), split="train").fingerprint == fingerprint
    sliced = open_source(str(ten), split="train[:5]").fingerprint
    assert sliced != fingerprint
    assert open_source(str(ten), split="train[:50%]").fingerprint == sliced
    same.write_bytes(ten.read_bytes() + b'"more"\n')
    assert open_source(str(same)).fingerprint != fingerprint
    text = tmp_path / "x.txt"
    text.write_bytes(ten.read_bytes())
    modes = {open_source(str(text), txt=mode).fingerprint for mode in ("paragraph", "line", "file")}
    assert len(modes | {fingerprint}) == 4
    array = tmp_path / "x.json"
    array.write_text('{"d": ["a"], "text": "b"}')
    assert (
        open_source(str(array), text_field="d[]").fingerprint
        != open_source(str(array)).fingerprint
        == open_source(str(array), text_field="text").fingerprint
    )


@pytest.mark.parametrize("how", ["append", "replace"])
def test_a_file_that_changes_while_it_is_read_is_refused(ten, tmp_path, how):
    source = open_source(str(ten))
    records = source.read()
    next(records)
    if how == "append":
        ten.write_bytes(ten.read_bytes() + b'"more"\n')
    else:
        other = tmp_path / "other"
        other.write_bytes(ten.read_bytes().replace(b"t9", b"T9"))
        other.rename(ten)
    for reading in (records, source.read()):
        with pytest.raises(DataError, match="changed while it was read; run again"):
            list(reading)


def test_empty_sources_say_so(tmp_path):
    empty = tmp_path / "x.txt"
    empty.touch()
    assert "is empty (0 bytes)" in fail(empty)
    for name, content in (("x.csv", "id,text\n"), ("x.json", "[]"), ("y.txt", "\n \n")):
        (tmp_path / name).write_text(content)
        assert f"{name}: holds no records" in fail(tmp_path / name)


def test_splits_that_select_nothing_say_so(ten):
    assert "holds 10 records, so --split 'train[10:]' selects none" in fail(ten, split="train[10:]")
    assert "selects no records" in fail(ten, split="train[5:5]")
    assert "The splits here: train." in fail(ten, split="test")


def test_paths_are_told_from_hub_ids(ten, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "Did you mean 'ten.jsonl'?" in fail("tenn.jsonl")
    assert "no such file" in fail("./ten")
    assert "no folder" in fail("there/is/none.txt")
    (tmp_path / "notes.doc").write_text("x")
    assert "is a document of an old Office, which is not read" in fail("notes.doc")
    for spec in ("", "a b/c"):
        message = fail(spec)
        assert "neither a file nor a Hub id" in message
        assert ".jsonl" in message
    (tmp_path / "My notes").mkdir()
    assert "Did you mean 'My notes'?" in fail("My nots")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert len(texts(open_source("~/ten.jsonl"))) == 10
    ten.rename(tmp_path / "TEN.JSONL")
    assert len(texts(open_source("TEN.JSONL"))) == 10


@pytest.mark.parametrize("spec", ["~nobody-of-that-name/a.txt", "x" * 300, "x" * 300 + ".txt"])
def test_what_can_be_no_path_is_refused(spec):
    with pytest.raises(ConfigError, match=r"--data .* cannot be used"):
        open_source(spec)


def test_data_sets_that_are_gone_say_what_to_type():
    for name, reason in (
        ("eli5", "defunct: its source was withdrawn"),
        ("eli5_category", "script"),
    ):
        message = fail(name)
        assert reason in message
        assert "--data dany0407/eli5_category --text-field answers.text" in message


def test_builtin_corpora_hold_a_test_split_out():
    source = open_source("builtin:stdlib-docs")
    assert source.has_test_split
    assert source.default_text_field == builtin.TEXT_FIELD
    assert source.default_join == "\n\n"
    names = builtin.parse_names("stdlib-docs")
    train = [record.value for record in builtin.records(names, "train")]
    test = [record.value for record in builtin.records(names, "test")]
    assert [record.value for record in source.read()] == train
    both = open_source("builtin:stdlib-docs", split="test+train")
    assert [record.value for record in both.read()] == test + train
    assert [record.number for record in both.read()] == list(range(len(test + train)))
    assert len(list(open_source("builtin:stdlib-docs", split="train[:5]").read())) == 5
    prints = {
        open_source("builtin:stdlib-docs", split=s).fingerprint
        for s in ("train", "test", "train[:5]")
    }
    assert len(prints) == 3
    assert "The splits here: train, test." in fail("builtin:stdlib-docs", split="validation")
