"""Folders, globs and what is left out of them."""

from __future__ import annotations

import gzip
import json
import logging
import os
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from nextfill.core.errors import DataError
from nextfill.data.records.file_selection import describe_counts
from nextfill.data.records.sources import open_source
from tests.unit.data.records.readings import source_error as fail
from tests.unit.data.records.readings import values


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    folder = tmp_path / "notes"
    for name, text in {
        "b.txt": "b\n\nsecond",
        "a/z.md": "z",
        "a/b/c.txt.gz": "c",
        "a.txt": "a",
        "a-b.txt": "a-b",
        "picture.PNG": "x",
        "Makefile": "x",
        "old.zip": "x",
        "all.tar.gz": "x",
        "empty.txt": "",
        ".hidden.txt": "x",
        ".git/config.txt": "x",
    }.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(text.encode()) if name.endswith("xt.gz") else text.encode())
    return folder


def test_a_folder_is_read_sorted_by_path_one_document_a_file(notes):
    assert values(notes) == ["c", "z", "a-b", "a", "b\n\nsecond"]
    assert values(notes, txt="paragraph") == ["c", "z", "a-b", "a", "b", "second"]
    assert values(f"{notes}/") == values(notes)
    records = list(open_source(str(notes)).read())
    assert [record.where for record in records][:2] == [
        str(notes / "a/b/c.txt.gz"),
        str(notes / "a/z.md"),
    ]
    assert [record.number for record in records] == list(range(5))
    assert values(notes, split="train[1:3]") == ["z", "a-b"]


def test_what_is_left_out_is_counted_and_told(notes, caplog):
    source = open_source(str(notes))
    assert source.num_files == 5
    assert source.left_out == {
        "hidden": 2,
        "no text format (.png)": 1,
        "no text format (no suffix)": 1,
        "archive inside (.zip)": 1,
        "archive inside (.gz)": 1,
        "empty": 1,
    }
    named, record = caplog.records
    assert "Makefile looks like plain text" in named.getMessage()
    assert record.levelno == logging.WARNING
    assert "files that are left out: " in record.getMessage()
    assert "1 no text format (.png)" in record.getMessage()
    assert "hidden" not in record.getMessage()
    caplog.clear()
    only = open_source(f"{notes}/**/*.md")
    assert (only.num_files, only.left_out) == (1, {})
    assert not caplog.records


def test_globs(notes):
    assert values(f"{notes}/*.txt") == ["a-b", "a", "b\n\nsecond"]
    assert values(f"{notes}/**/*.txt*") == ["c", "a-b", "a", "b\n\nsecond"]
    assert values(f"{notes}/[ab].txt") == ["a", "b\n\nsecond"]
    assert values(f"{notes}/?/?.md") == ["z"]
    assert values(f"{notes}/.git/*.txt") == ["x"]
    assert "no file matches" in fail(f"{notes}/*.rst")
    assert "found 1 no text format (.png)" in fail(f"{notes}/*.PNG")
    assert "there is no folder" in fail(f"{notes}/none/*.txt")


def test_a_name_that_looks_like_a_pattern_is_a_name(tmp_path, monkeypatch):
    (tmp_path / "a[1].txt").write_text("one\n\ntwo")
    assert values(tmp_path / "a[1].txt") == ["one", "two"]
    monkeypatch.chdir(tmp_path)
    assert values("*.txt") == ["one\n\ntwo"]


def test_a_folder_without_text_says_what_it_holds(notes, tmp_path):
    (tmp_path / "none").mkdir()
    assert "found no file at all" in fail(tmp_path / "none")
    (tmp_path / "none" / "a.png").write_text("x")
    (tmp_path / "none" / "b.png").write_text("x")
    message = fail(tmp_path / "none")
    assert "found 2 no text format (.png)" in message
    assert "--format" in message


def test_format_holds_for_every_file(tmp_path):
    (tmp_path / "a.log").write_text('{"text": "one"}\n')
    (tmp_path / "b").write_text('{"text": "two"}\n')
    assert values(tmp_path, format="jsonl") == [{"text": "one"}, {"text": "two"}]
    assert values(tmp_path / "b", format="txt") == ['{"text": "two"}']
    assert "cannot tell the format" in fail(tmp_path / "b")


def test_links_and_odd_files_do_not_lead_astray(notes):
    (notes / "loop").symlink_to(notes, target_is_directory=True)
    (notes / "gone.txt").symlink_to(notes / "nowhere")
    (notes / "also.txt").symlink_to(notes / "a.txt")
    os.mkfifo(notes / "pipe.txt")
    source = open_source(str(notes))
    assert source.num_files == 6
    assert source.left_out["link to a folder"] == 1
    assert source.left_out["broken link"] == 1
    assert source.left_out["not a regular file"] == 1
    assert "is no regular file" in fail(notes / "pipe.txt")


def test_records_have_to_be_alike(tmp_path):
    from nextfill.data.document import ReadCounts
    from nextfill.data.records.fields.record_text import documents

    (tmp_path / "a.jsonl").write_text('{"text": "one"}\n')
    (tmp_path / "b.csv").write_text("text\ntwo\n")
    options = {"text_field": None, "join": " ", "explode": False, "keep": ()}

    def texts():
        source = open_source(str(tmp_path))
        return [made.text for made in documents(source, counts=ReadCounts(), **options)]

    assert texts() == ["one", "two"]
    (tmp_path / "c.jsonl").write_text('"three"\n')
    with pytest.raises(DataError, match=r"c\.jsonl:1: found a string .* must be alike"):
        texts()


def test_a_saved_data_set_is_read_as_such(tmp_path, caplog):
    import datasets

    rows = datasets.Dataset.from_list([{"text": f"t{n}"} for n in range(5)])
    rows.save_to_disk(tmp_path / "saved")
    source = open_source(str(tmp_path / "saved"))
    assert [record.value["text"] for record in source.read()] == [f"t{n}" for n in range(5)]
    assert source.left_out == {"description of a saved data set": 2}
    assert "left out" not in caplog.text  # nobody misses them; the ledger counts them


def test_the_fingerprint_is_that_of_what_is_read(notes):
    before = open_source(str(notes)).fingerprint
    (notes / "another.png").write_text("x")
    assert open_source(str(notes)).fingerprint == before
    assert open_source(str(notes), txt="line").fingerprint != before
    (notes / "b.txt").write_text("changed")
    changed = open_source(str(notes)).fingerprint
    assert changed != before
    (notes / "c.txt").write_text("more")
    assert open_source(str(notes)).fingerprint not in (before, changed)


def test_a_folder_that_changes_while_it_is_read_is_refused(notes):
    records = open_source(str(notes)).read()
    next(records)
    (notes / "b.txt").write_text("changed")
    with pytest.raises(DataError, match="changed while it was read"):
        list(records)


def test_file_names_steer_no_terminal(tmp_path):
    (tmp_path / "a\x1b[2J.txt").write_text("x")
    (tmp_path / os.fsdecode(b"b\xff.jsonl")).write_text("broken")
    wheres = []
    with pytest.raises(DataError) as caught:
        wheres.extend(record.where for record in open_source(str(tmp_path)).read())
    assert str(caught.value).isprintable()
    assert str(caught.value).encode()
    assert all(where.isprintable() for where in wheres)


def test_a_shallow_pattern_does_not_search_deep(tmp_path):
    for n in range(300):
        (tmp_path / "deep" / str(n) / "deeper").mkdir(parents=True)
    (tmp_path / "a.txt").write_text("x")
    started = time.process_time()
    for _ in range(20):
        assert values(f"{tmp_path}/*.txt") == ["x"]
    assert time.process_time() - started < 1


def test_many_suffixes_are_told_in_few_words(tmp_path):
    (tmp_path / "a.txt").write_text("x")
    for n in range(100):
        (tmp_path / f"x.{n}").write_text("x")
    left_out = open_source(str(tmp_path)).left_out
    assert len(left_out) == 21
    assert left_out["no text format (others)"] == 80
    assert sum(left_out.values()) == 100
    assert len(describe_counts(left_out)) < 700


def test_values_keep_their_lines_in_messages(tmp_path):
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": "x"}) + "\n{broken\n")
    assert f"{tmp_path}/a.jsonl:2: not JSON" in fail(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "found"),
    [
        ("notes (1).TXT", b"a", "a"),
        ("notes.txt.txt", b"a", "a"),
        ("notes.text", b"a", "a"),
        ("data.json.txt", b'[{"text": "a"}]', {"text": "a"}),
        ("data.jsonl.txt", b'{"text": "a"}\r\n{"text": "b"}', {"text": "a"}),
        ("data.csv.TXT", b"\xef\xbb\xbftext\r\na\r\n", {"text": "a"}),
        ("data.NDJSON", b'\xef\xbb\xbf{"text": "a"}', {"text": "a"}),
        ("v1.2.txt", b"a", "a"),
    ],
)
def test_names_that_other_programs_give(tmp_path, name, content, found):
    (tmp_path / name).write_bytes(content)
    assert values(tmp_path / name)[0] == found
    assert values(tmp_path)[0] == found


def test_feather_and_ipc_are_arrow(tmp_path):
    import pandas as pd
    import polars as pl

    pd.DataFrame({"text": pd.Categorical(["a", "b"])}).to_feather(tmp_path / "x.feather")
    pl.DataFrame({"text": ["a", "b"]}).write_ipc(tmp_path / "x.ipc")
    for name in ("x.feather", "x.ipc"):
        assert values(tmp_path / name) == [{"text": "a"}, {"text": "b"}]


@pytest.mark.parametrize("suffix", [".txt", ".md", ".jsonl", ".json", ".csv", ".tsv"])
@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf16_of_windows_is_read(tmp_path, suffix, encoding):
    path = tmp_path / f"x{suffix}"
    text = {".csv": "text\r\nÜberall\r\n", ".tsv": "text\r\nÜberall\r\n"}
    content = text.get(suffix, '{"text": "Überall"}\r\n')
    path.write_bytes(f"\ufeff{content}".encode(encoding))
    assert "Überall" in str(values(path))


def test_links_to_themselves_pipes_and_sockets_are_left_out(tmp_path, caplog):
    folder = tmp_path / "notes"
    (folder / "inner").mkdir(parents=True)
    (folder / "a.txt").write_text("read")
    for name in ("loop.txt", "loop", "inner/loop.md"):
        (folder / name).symlink_to((folder / name).name)
    (folder / "one.txt").symlink_to("two.txt")
    (folder / "two.txt").symlink_to("one.txt")
    (folder / "up").symlink_to("..")
    (folder / "inner/up").symlink_to("../..")
    os.mkfifo(folder / "pipe.txt")
    here = os.open(folder, os.O_RDONLY)
    with socket.socket(socket.AF_UNIX) as opened:
        opened.bind(f"/proc/self/fd/{here}/socket.txt")  # of a path that may be long
    os.close(here)
    left_out = {
        "link that leads to itself": 5,
        "link to a folder": 2,
        "not a regular file": 2,
    }
    for spec in (folder, f"{folder}/**"):
        caplog.clear()
        source = open_source(str(spec))
        assert [record.value for record in source.read()] == ["read"]
        assert source.left_out == left_out
        assert "loop.txt (link that leads to itself)" in caplog.text
    assert "5 link that leads to itself" in fail(f"{folder}/**/[lot]*")


@pytest.fixture
def closed() -> Iterator[Path]:
    """A folder with a file and a folder that may not be read, seen by one who is not root."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "inner").mkdir()
        for path in ("a.txt", "b.txt", "inner/c.txt"):
            (folder / path).write_text("text")
        (folder / "b.txt").chmod(0)
        (folder / "inner").chmod(0)
        me = os.geteuid()
        if me == 0:
            os.seteuid(65534)
        yield folder
        os.seteuid(me)
        (folder / "inner").chmod(0o755)


def test_what_may_not_be_read_is_named_and_counted(closed, caplog):
    for spec in (closed, f"{closed}/**/*.txt"):
        caplog.clear()
        source = open_source(str(spec))
        assert [record.value for record in source.read()] == ["text"]
        assert source.left_out == {
            "no permission to read": 1,
            "folder without permission to read": 1,
        }
        assert "b.txt (no permission to read)" in caplog.text
        assert "inner (folder without permission to read)" in caplog.text
    assert "cannot be read: Permission denied" in fail(closed / "b.txt")
    assert "cannot be read: Permission denied" in fail(closed / "inner")
