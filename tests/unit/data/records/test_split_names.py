"""Files of several splits that are read as one are told, with what to type."""

from __future__ import annotations

import shlex
import zipfile

import pytest

import nextfill
from nextfill.data.records.split_names import split_advice

TOLD = {
    ("rows/train/a.jsonl", "rows/validation/b.jsonl"): ("rows/train", "rows/validation"),
    ("shards/train/a.txt", "shards/test/b.txt", "shards/validation/c.txt"): (
        "shards/train",
        "shards/test",
    ),
    ("a b/train.csv", "a b/dev.csv"): ("a b/train.csv", "a b/dev.csv"),
    ("train.jsonl", "test.jsonl"): ("train.jsonl", "test.jsonl"),
    ("Train/a.txt", "Test/a.txt"): ("Train", "Test"),
    ("/x/train-0-of-2.parquet", "/x/train-1-of-2.parquet", "/x/test-0-of-1.parquet"): (
        "/x/train-*",
        "/x/test-0-of-1.parquet",
    ),
    ("x/en/train/a.txt", "x/en/test/a.txt", "x/de/train/a.txt", "x/de/test/a.txt"): (
        "x/**/train/**",
        "x/**/test/**",
    ),
    ("s3://bucket/x/train/a.txt", "s3://bucket/x/test/a.txt"): (
        "s3://bucket/x/train",
        "s3://bucket/x/test",
    ),
}


@pytest.mark.parametrize("names", TOLD)
def test_what_to_type_is_told(names):
    train, held = TOLD[names]
    typed = split_advice(names).partition("type: ")[2]
    assert shlex.split(typed) == ["--data", train, "--eval-data", held]


def test_a_third_split_is_named_and_said_to_be_left_out():
    shards = [f"d/{s}-0000{n}-of-00002.parquet" for s in ("train", "test", "val") for n in (0, 1)]
    assert split_advice(shards) == (
        "train, test and val are names of splits, and are read as one. To train on train and hold "
        "out test (val is not read then), type: "
        "--data 'd/train-0000*' --eval-data 'd/test-0000*'"
    )
    folders = [f"d/{lang}/{s}/a.txt" for s in ("train", "test", "dev", "val") for lang in "ab"]
    assert "(val and dev are not read then)" in split_advice(folders)
    assert split_advice(shards, is_scored=True).startswith("train, test and val are names")
    assert "not read" not in split_advice(shards[:4])


@pytest.mark.parametrize(
    "names",
    [
        ["rows/train/a.txt", "rows/train/b.txt"],
        ["rows/train.txt", "rows/other/test.txt"],
        ["rows/training.txt", "rows/testimony.txt"],
        ["rows/train station/a.txt", "rows/test/b.txt"],
        ["rows/validation/a.txt", "rows/test/b.txt"],
        ["standard input"],
    ],
)
def test_other_names_are_no_splits(names):
    assert split_advice(names) == ""


def test_a_folder_of_folders_of_splits_is_told_and_the_advice_works(tmp_path, tiny_model, caplog):
    for split, number in (("train", 20), ("validation", 4)):
        folder = tmp_path / "my data" / "shards" / split
        folder.mkdir(parents=True)
        rows = "".join(f'{{"text": "{split} {n}"}}\n' for n in range(number))
        (folder / "rows.jsonl").write_text(rows)
    job = {"model": str(tiny_model), "cache_dir": str(tmp_path / "cache")}
    nextfill.prepare(data=tmp_path / "my data", **job)
    [told] = [one for one in caplog.messages if "names of splits" in one]
    assert "data='" in told
    assert "eval_data='" in told
    caplog.clear()
    shards = tmp_path / "my data" / "shards"
    ledger = nextfill.prepare(data=shards / "train", eval_data=shards / "validation", **job).ledger
    assert (ledger["train_documents"], ledger["held_out_documents"]) == (20, 4)
    assert not caplog.messages


def test_patterns_of_several_places_match_their_files(tmp_path, tiny_model):
    for language in ("en", "de"):
        for split in ("train", "test"):
            folder = tmp_path / language / split / "deep"
            folder.mkdir(parents=True)
            rows = "".join(f'{{"text": "{language} {split} {n}"}}\n' for n in range(5))
            (folder / "rows.jsonl").write_text(rows)
    files = [str(one) for one in tmp_path.rglob("*.jsonl")]
    _, train, _, held = shlex.split(split_advice(files).partition("type: ")[2])
    job = {"model": str(tiny_model), "cache_dir": str(tmp_path / "cache")}
    ledger = nextfill.prepare(data=train, eval_data=held, **job).ledger
    assert (ledger["train_documents"], ledger["held_out_documents"]) == (10, 10)


def test_splits_in_an_archive_are_told_as_well(tmp_path, tiny_model, caplog):
    with zipfile.ZipFile(tmp_path / "rows.zip", "w") as archive:
        for split in ("train", "test"):
            archive.writestr(f"{split}/a.jsonl", f'{{"text": "{split}"}}\n' * 2)
            archive.writestr(f"{split}/b.jsonl", f'{{"text": "more {split}"}}\n' * 2)
    job = {"model": str(tiny_model), "cache_dir": str(tmp_path / "cache")}
    nextfill.prepare(data=tmp_path / "rows.zip", **job)
    assert any("unpack the archive" in one for one in caplog.messages)


def test_what_is_scored_is_told_as_well(tmp_path, tiny_model, caplog):
    for split in ("train", "test"):
        (tmp_path / f"{split}.jsonl").write_text(f'{{"text": "a text of {split}"}}\n' * 3)
    job = {"cache_dir": str(tmp_path / "cache")}
    nextfill.evaluate(str(tiny_model), data=tmp_path / "*.jsonl", **job)
    [told] = [one for one in caplog.messages if "names of splits" in one]
    assert told.endswith(f"To score test alone, type: data='{tmp_path}/test.jsonl'")
    caplog.clear()
    nextfill.evaluate(str(tiny_model), data=tmp_path / "test.jsonl", **job)
    assert not any("names of splits" in one for one in caplog.messages)


def test_a_split_that_is_a_folder_is_told_with_what_to_type(tmp_path):
    for name in ("train", "validation"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.txt").write_text("a text")
    with pytest.raises(nextfill.NextfillError, match="There is no split 'validation'") as caught:
        nextfill.look(data=str(tmp_path), split="validation", quiet=True)
    typed = str(caught.value).partition("type: ")[2]
    assert typed == f"data='{tmp_path}/train' eval_data='{tmp_path}/validation'"
    with pytest.raises(nextfill.NextfillError, match=r"The splits here: train\.$"):
        nextfill.look(data=str(tmp_path / "train"), split="validation", quiet=True)
