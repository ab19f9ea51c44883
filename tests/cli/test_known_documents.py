"""A run that goes on from another says which held-out documents that one was trained on."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from nextfill.cli.main import main

SHAPE = ["--max-steps", "2", "--block-size", "32", "--batch-size", "2", "--test-size", "6"]
KNOWN = re.compile(r"(\d+) of 6 held-out documents.* text that (\S+) was trained on")


@pytest.fixture
def folder(paragraphs, tmp_path, monkeypatch):
    """A folder of 30 files; one stands above it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes").mkdir()
    for number, text in enumerate(paragraphs(30, 40)):
        (tmp_path / "notes" / f"{number:02}.txt").write_text(f"Number {number}. {text}", "utf-8")
    return tmp_path / "notes"


def train(capsys, model, out, *words):
    line = ["train", "--data", "notes", "--model", str(model), "--out", out, *SHAPE, *words]
    assert main(line) == 0
    return capsys.readouterr().err


def test_documents_that_the_model_was_trained_on_are_told(folder, tiny_model, capsys, caplog):
    def held_out():
        (line,) = {m for m in caplog.messages if "held out: " in m}
        caplog.clear()
        return set(re.findall(r"\d\d\.txt", line))

    first = train(capsys, tiny_model, "first")
    apart = held_out()
    assert "was trained on" not in first
    again = train(capsys, "first", "again")
    assert "was trained on" not in again
    assert held_out() == apart
    other = train(capsys, "first/model", "other", "--seed", "5")
    ((count, run),) = KNOWN.findall(other)
    assert Path(run).name == "first"
    assert int(count) == len(held_out() - apart) > 0
    assert "--eval-data" in other


def pages_of(run):
    return [(run / name).read_text("utf-8") for name in ("report.html", "model/README.md")]


def test_report_and_card_say_that_documents_are_known(folder, tiny_model, capsys):
    train(capsys, tiny_model, "first")
    train(capsys, "first", "again")
    for page in pages_of(folder.parent / "again"):
        assert "goes on from" not in page
    told = train(capsys, "first", "other", "--seed", "5")
    ((count, _),) = KNOWN.findall(told)
    for page in pages_of(folder.parent / "other"):
        assert re.search(rf"{count} of 6 held-out documents .* text that the run first,", page)
    card = pages_of(folder.parent / "other")[1]
    assert str(folder.parent) not in card
    assert "6 documents, none of which this run was trained on." in card
    assert json.loads((folder.parent / "other" / "measured.json").read_text("utf-8"))[
        "known_documents"
    ] == {str(folder.parent / "first"): {"checked": 6, "known": int(count)}}


def test_report_and_card_say_that_nothing_could_be_told(folder, tiny_model, capsys):
    train(capsys, tiny_model, "first")
    (folder / "new.txt").write_text("A chapter that was not there before, of some length.", "utf-8")
    train(capsys, "first", "second")
    for page in pages_of(folder.parent / "second"):
        assert "Whether the run first, which this one goes on from, was trained on" in page


def test_each_run_behind_the_model_is_asked(folder, tiny_model, capsys):
    train(capsys, tiny_model, "first")
    train(capsys, "first", "second")
    third = train(capsys, "second", "third", "--seed", "5")
    assert [Path(run).name for _, run in KNOWN.findall(third)] == ["second", "first"]


def test_data_that_have_changed_are_told_as_not_compared(folder, tiny_model, capsys):
    train(capsys, tiny_model, "first")
    (folder / "new.txt").write_text("A chapter that was not there before, of some length.", "utf-8")
    told = train(capsys, "first", "second")
    assert re.search(r"not compared with what \S*first was trained on: its data have changed", told)
    assert "--eval-data names text that it has not read" in told


def test_damage_to_the_run_before_the_model_is_no_hindrance(folder, tiny_model, capsys):
    train(capsys, tiny_model, "first")
    train(capsys, "first", "second")
    (folder.parent / "first" / "ledger.json").write_text("{}", "utf-8")
    told = train(capsys, "second", "third", "--seed", "5")
    assert [Path(run).name for _, run in KNOWN.findall(told)] == ["second"]
    assert re.search(r"not compared with what \S*first was trained on", told)
