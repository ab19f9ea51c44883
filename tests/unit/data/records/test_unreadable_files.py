"""Every file of a source that cannot be read is named in one message."""

from __future__ import annotations

import gzip
import json
import zipfile
from pathlib import Path

import pytest

from nextfill.core.errors import DataError
from nextfill.data.records import unreadable_files
from nextfill.data.records.sources import open_source

BROKEN_UTF8 = "café à la crème, déjà vu ".encode() + b"\xe9 la fin\n"
DAMAGED = {
    "b.docx": b"no archive",
    "c.pdf": b"%PDF-1.4 and no more",
    "d.txt": b"one\ntwo\0three\n",
    "e.md.gz": gzip.compress(bytes(range(32, 127)))[:60],
}


@pytest.fixture
def folder(tmp_path):
    for name, content in DAMAGED.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "a.txt").write_text("a good file\n")
    (tmp_path / "f.html").write_text("<p>another good file</p>")
    return tmp_path


def fail(data: Path | str, **options) -> str:
    with pytest.raises(DataError) as caught:
        list(open_source(str(data), **options).read())
    return str(caught.value)


def test_all_are_named_and_no_good_one(folder):
    message = fail(folder)
    assert f"{folder}: 4 files cannot be read:\n" in message
    assert all(f"  {folder / name}" in message for name in DAMAGED)
    assert "d.txt:2" in message
    assert "a.txt" not in message
    assert "f.html" not in message
    assert message.endswith(f"Mend them, or take them out of {folder}, and run again.")


def test_a_file_of_no_encoding_is_named_among_them(folder):
    (folder / "z.txt").write_bytes(BROKEN_UTF8)
    message = fail(folder)
    assert "5 files cannot be read" in message
    assert all(str(folder / name) in message for name in (*DAMAGED, "z.txt"))


def test_the_same_of_an_archive(folder, tmp_path_factory):
    archive = tmp_path_factory.mktemp("archive") / "mail.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for one in sorted(folder.iterdir()):
            file.write(one, one.name)
    message = fail(archive)
    assert f"{archive}: 4 files cannot be read" in message
    assert all(f"{archive}/{name}" in message for name in DAMAGED)


@pytest.mark.parametrize("split", [None, "train[:50%]"])
def test_the_same_of_records_and_of_their_count(tmp_path, split):
    for number in range(5):
        text = json.dumps({"text": f"record {number}"})
        (tmp_path / f"{number}.json").write_text(text[:-3] if number % 2 else text)
    message = fail(tmp_path, split=split)
    assert "2 files cannot be read" in message
    assert "1.json:1: not JSON" in message
    assert "3.json:1: not JSON" in message


def test_one_is_named_alone(tmp_path):
    (tmp_path / "a.docx").write_bytes(b"no archive")
    (tmp_path / "b.txt").write_text("words\n")
    message = fail(tmp_path)
    assert message.startswith(f"{tmp_path / 'a.docx'}: expected a .docx document")
    assert "if its own program still opens it" in message
    assert message.endswith(f"Mend it, or take it out of {tmp_path}, and run again.")
    assert "\n" not in message
    assert "take it out" not in fail(tmp_path / "a.docx")


def test_ten_are_named_and_the_others_counted(tmp_path):
    for number in range(13):
        (tmp_path / f"{number:02d}.docx").write_bytes(b"no archive")
    message = fail(tmp_path)
    assert "13 files cannot be read" in message
    assert "09.docx" in message
    assert "10.docx" not in message
    assert "and 3 more." in message


def test_what_was_not_read_for_its_problems_is_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(unreadable_files, "_MOST_READ", 100)
    (tmp_path / "a.docx").write_bytes(b"no archive")
    for number in range(3):
        (tmp_path / f"b{number}.txt").write_text("words " * 50)
    assert fail(tmp_path).endswith("3 further files were not read.")


def test_a_disk_out_of_reach_is_not_asked_again(tmp_path, monkeypatch):
    for name in "abc":
        (tmp_path / f"{name}.txt").write_text("words\n")
    source = open_source(str(tmp_path))
    asked = []

    def refuse(path, *args, **options):
        asked.append(path.name)
        raise TimeoutError(110, "Connection timed out")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(DataError, match="Connection timed out"):
        list(source.read())
    assert asked == ["a.txt"]
