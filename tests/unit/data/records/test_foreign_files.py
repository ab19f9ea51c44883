"""Files that are not read are called by their name, by suffix and by content, with what to do."""

from __future__ import annotations

import pickle
import sqlite3

import numpy as np
import pytest

import nextfill
from nextfill.core.errors import DataError
from nextfill.data.records.formats.foreign_files import KINDS, kind_by_content, kind_by_name
from nextfill.data.records.sources import open_source


def sqlite(path):
    with sqlite3.connect(path) as made:
        made.execute("create table notes (text)")


def array(path):
    with path.open("wb") as file:
        np.save(file, [1])


MADE = {
    "an HDF5 file": (".h5", lambda path: path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(99))),
    "a NumPy array": (".npy", array),
    "a pickle": (".pkl", lambda path: path.write_bytes(pickle.dumps(list(range(99))))),
    "a SQLite database": (".db", sqlite),
    "a PNG image": (".png", lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(99))),
    "a JPEG image": (".jpeg", lambda path: path.write_bytes(b"\xff\xd8\xff\xe0" + bytes(99))),
    "a video": (".mp4", lambda path: path.write_bytes(b"\0\0\0 ftypisom" + bytes(99))),
    "a document of an old Office": (
        ".doc",
        lambda path: path.write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(99)),
    ),
}


def message(path, **options) -> str:
    with pytest.raises(DataError) as caught:
        list(open_source(str(path), **options).read())
    return str(caught.value)


@pytest.mark.parametrize("noun", MADE)
def test_one_with_its_own_suffix(noun, tmp_path):
    suffix, make = MADE[noun]
    make(tmp_path / f"a{suffix}")
    advice = kind_by_name(f"a{suffix}").advice
    assert f"is {noun}, which is not read. {advice}" in message(tmp_path / f"a{suffix}")


@pytest.mark.parametrize("suffix", [".txt", ".csv", ".jsonl", ".json"])
@pytest.mark.parametrize("noun", MADE)
def test_one_under_the_name_of_another_format(noun, suffix, tmp_path):
    path = tmp_path / f"a{suffix}"
    MADE[noun][1](path)
    assert f"found {noun} in the place of the file" in message(path)


def test_one_that_is_not_there_is_no_name_on_the_hub(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "there is no such file" in message("a.h5")


@pytest.mark.parametrize("begin", ["GGUF", "RIFF", "ID3", "OggS", "GIF89a", "fLaC"])
def test_a_text_that_begins_with_the_same_letters_is_read(begin, tmp_path):
    path = tmp_path / "a.txt"
    path.write_text(f"{begin} is the beginning of a file.")
    assert [one.value for one in open_source(str(path)).read()] == [path.read_text()]


def test_a_format_that_is_said_holds(tmp_path):
    path = tmp_path / "a.mbox"
    path.write_text("From a@b\n\nHello.\n")
    assert [one.value for one in open_source(str(path), format="txt").read()][-1] == "Hello."


def test_an_unknown_suffix_says_how_to_read_it_as_text(tmp_path):
    (tmp_path / "a.log").write_text("a line")
    assert "If it is plain text, type: --format txt" in message(tmp_path / "a.log")


def test_kinds_of_one_suffix_are_one():
    suffixes = [suffix for kind in KINDS for suffix in kind.suffixes]
    assert len(set(suffixes)) == len(suffixes)
    assert kind_by_content(b"") is None


def test_files_of_words_in_a_folder_are_named_with_the_way_to_read_them(tmp_path, caplog):
    for name in ("cv.doc", "old.doc", "talk.pptx", "photo.png", "server.key", "~$cv.doc"):
        (tmp_path / name).write_bytes(b"\xd0\xcf\x11\xe0")
    assert "cv.doc, old.doc are not read, each a document of an old Office. Save it as .docx" in (
        message(tmp_path)
    )
    (tmp_path / "a.txt").write_text("Once upon a time")
    source = open_source(str(tmp_path))
    assert source.left_out["lock file of Office"] == 1
    assert "talk.pptx is a presentation, which is not read. Save it as PDF" in caplog.text
    sentences = [one for one in caplog.messages if "files that are left out" not in one]
    assert len(sentences) == 2
    for name in ("photo.png", "server.key", "~$cv.doc"):
        assert name not in " ".join(sentences)


@pytest.mark.parametrize("name", ["~$Report.docx", "~$notes.txt", "~$old.doc"])
def test_the_lock_file_of_office_is_told_as_such(tmp_path, name):
    (tmp_path / name).write_bytes(b"\x03Ann" + bytes(158))
    assert "is the lock file of Office" in message(tmp_path / name)
    assert "Name the document." in message(tmp_path / name)
    document = tmp_path / f"My{name[2:]}"
    document.write_text("x")
    assert f"Type: --data {document}" in message(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "typed"),
    [
        ("novel.pages", "Export it to Word, and name the .docx"),
        ("novel.docm", "type: --format docx, or save it as .docx"),
        ("novel.wpd", "Save it as .docx or .odt"),
    ],
)
def test_documents_of_other_word_processors_are_told_with_what_to_do(name, typed, tmp_path, caplog):
    (tmp_path / name).write_bytes(b"PK\x03\x04" + bytes(99))
    told = message(tmp_path / name)
    assert typed in told
    assert "plain text" not in told
    (tmp_path / "a.txt").write_text("Once upon a time")
    open_source(str(tmp_path))
    assert f"{name} is a" in caplog.text
    assert typed in caplog.text


@pytest.mark.parametrize(
    ("begin", "kind"),
    [(b"{\\rtf1 Once}", "rtf"), (b"PK\x03\x04" + bytes(9), "docx"), (b"<html>Once", "html")],
)
def test_another_document_named_doc_is_told_as_what_it_is(begin, kind, tmp_path, caplog):
    (tmp_path / "novel.doc").write_bytes(begin)
    told = message(tmp_path / "novel.doc")
    assert f"with --format {kind}, or rename it to end in .{kind}" in told
    assert "document of an old Office" not in told
    (tmp_path / "a.txt").write_text("Once upon a time")
    open_source(str(tmp_path))
    assert f"with --format {kind}, or rename" in caplog.text
    if kind != "docx":  # which those bytes are not
        read = open_source(str(tmp_path / "novel.doc"), format=kind).read()
        assert "Once" in next(iter(read)).value


def test_files_left_out_of_a_folder_are_named_up_to_three_of_each_kind(tmp_path, caplog):
    for name in ("a.png", "b.png", "c.png", "d.png", "notes"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "a.txt").write_text("Once upon a time")
    open_source(str(tmp_path))
    counts = "left out: 4 no text format (.png), 1 no text format (no suffix)"
    assert f"{counts}: a.png, b.png, c.png and 1 more; notes" in caplog.text


def test_a_folder_of_programs_says_how_they_are_read(tmp_path):
    for name in ("a.py", "b.py", "Makefile"):
        (tmp_path / name).write_text("é = 1\n" * 200)
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n\0\0")
    with pytest.raises(DataError) as refused:
        nextfill.look(data=tmp_path)
    said = str(refused.value)
    assert "(.py, no suffix) are read as such with: format=" in said
    (tmp_path / "picture.png").unlink()
    assert "Makefile" in nextfill.look(data=tmp_path, format="txt").text()
    for one in tmp_path.iterdir():
        one.write_bytes(b"\0\1\2")
    with pytest.raises(DataError) as refused:
        nextfill.look(data=tmp_path)
    assert "plain text" not in str(refused.value)
