"""Words that no path can be, too long for a name or with a null character, end in words of ours."""

from __future__ import annotations

import pytest

from nextfill.cli.main import main

LINES = [
    ("train", "WORD"),
    ("train", "--data", "WORD"),
    ("train", "--model", "WORD"),
    ("train", "--lora-targets", "q", "WORD"),
    ("train", "--out", "run", "--resume", "--data", "WORD"),
    ("look", "--data", "notes.txt", "WORD"),
    ("evaluate", "WORD"),
    ("evaluate", "WORD", "--data", "notes.txt"),
    ("generate", "WORD"),
    ("generate", "WORD", "A text"),
    ("fill", "WORD"),
    ("fill", "WORD ___"),
    ("fill", "WORD ___", "WORD"),
    ("share", "WORD", "me/model"),
    ("share", "run", "WORD"),
    ("bundle", "WORD"),
    ("report", "WORD"),
    ("help", "WORD"),
    ("tokenizer", "inspect", "WORD"),
]


@pytest.mark.parametrize("word", ["stone " * 400, "x" * 300, "a\0b"], ids=["text", "name", "null"])
@pytest.mark.parametrize("line", LINES, ids=" ".join)
def test_a_word_that_can_be_no_path(line, word, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").write_text("A note.\n", "utf-8")
    assert main([part.replace("WORD", word) for part in line]) == 2
    assert capsys.readouterr().err.startswith("nextfill: ")
