"""What was found in files is said once for the same files and cache, and anew where it differs."""

from __future__ import annotations

import pytest

from nextfill.cli.main import main

NOTES = (
    "as cp1252",
    "files that are left out: 1 no text format (.png), 1 no text format (.xlsx)",
    "is an Excel workbook, which is not read",
)


@pytest.fixture
def folder(tmp_path, paragraphs, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "notes"
    folder.mkdir()
    for number, text in enumerate(paragraphs(12)):
        (folder / f"{number:02}.txt").write_text(text, "utf-8")
    german = "Der Fluß floß über die Brücke und die schönen Häuser. Größe, Äpfel, Öl.\n"
    (folder / "german.txt").write_bytes((german * 40).encode("cp1252"))
    (folder / "picture.png").write_bytes(b"x")
    (folder / "sheet.xlsx").write_bytes(b"x")
    return folder


@pytest.fixture
def said(caplog, tiny_model, tmp_path):
    def said(*words, cache="cache"):
        options = ["--model", tiny_model, "--cache-dir", tmp_path / cache, "--block-size", 32]
        if words[0] == "evaluate":
            options = options[2:4]
        caplog.clear()
        assert main([str(word) for word in [*words, *options]]) == 0
        return caplog.text

    return said


def test_each_note_on_the_same_files_is_given_once(folder, said, tmp_path):
    train = ["train", "--data", "notes", "--max-steps", 1]
    first = said(*train, "--out", "run")
    assert [note for note in NOTES if note not in first] == []
    for later in (said("evaluate", "run"), said(*train, "--out", "other")):
        assert [note for note in NOTES if note in later] == []
        assert "notes" in later

    (folder / "more.png").write_bytes(b"x")
    assert "left out: 2 no text format (.png)" in said(*train, "--out", "third")
    elsewhere = said(*train, "--out", "fourth", cache="another")
    assert NOTES[0] in elsewhere
    assert NOTES[2] in elsewhere


def test_the_same_names_in_another_folder_are_other_files(folder, said, tmp_path, monkeypatch):
    assert NOTES[0] in said("prepare", "--data", "notes")
    (tmp_path / "below").mkdir()
    folder.rename(tmp_path / "below" / "notes")
    monkeypatch.chdir(tmp_path / "below")
    assert NOTES[0] in said("prepare", "--data", "notes")


def test_a_table_is_told_where_it_is_read(folder, said, tmp_path):
    texts = ", ".join(f'"text number {number}"' for number in range(20))
    (tmp_path / "table.json").write_text(f'{{"text": [{texts}]}}', "utf-8")
    told = [said("prepare", "--data", "table.json") for _ in range(2)]
    assert ["by columns, read as rows" in one for one in told] == [True, False]
