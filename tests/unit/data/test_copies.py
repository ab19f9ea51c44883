"""Copies of a text are counted, told once, and warned of where they are what is held out."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import nextfill
from nextfill.core.progress import Silent


@pytest.fixture
def job(tiny_model, tmp_path):
    return {"model": str(tiny_model), "cache_dir": str(tmp_path / "cache")}


@pytest.fixture
def write(tmp_path):
    def write(name: str, texts: list[str]) -> str:
        path = tmp_path / name
        lines = ["text", *texts] if name.endswith(".csv") else map(json.dumps, texts)
        path.write_text("\n".join(lines) + "\n")
        return str(path)

    return write


def told(caplog, words: str) -> list[str]:
    return [one for one in caplog.messages if words in one]


def test_copies_are_counted_and_told_once(write, job, caplog):
    texts = [f"text number {n}" for n in range(270)]
    source = write("a.csv", [*texts, *["NULL"] * 30])
    ledger = nextfill.prepare(data=source, **job).ledger
    assert ledger["copies"] == 29
    [note] = told(caplog, "of another before,")
    assert "29 of 300 documents" in note
    assert "'NULL' (30 times)" in note
    caplog.clear()
    assert nextfill.prepare(data=source, test_size=0.2, **job).ledger["copies"] == 29
    assert not told(caplog, "of another before,")


@pytest.mark.parametrize(
    ("copies", "named"),
    [
        (["b.txt"], "a.txt and b.txt)"),
        (["b.txt", "my c.txt"], "a.txt, b.txt and 'my c.txt')"),
        (["b.txt", "c.txt", "d.txt", "e.txt"], "a.txt, b.txt, c.txt and 2 more)"),
    ],
)
def test_files_with_the_same_text_are_named(copies, named, tmp_path, job, caplog):
    folder = tmp_path / "letters"
    folder.mkdir()
    for name in ("a.txt", *copies):
        (folder / name).write_text("Dear Ada, the boat is late.")
    for number in range(9):
        (folder / f"z{number}.txt").write_text(f"Dear Ada, boat {number} is late.")
    nextfill.prepare(data=str(folder), **job)
    [note] = told(caplog, "of another before,")
    assert f"times: {named}" in note


def test_data_without_copies_say_nothing(write, job, caplog):
    ledger = nextfill.prepare(data=write("a.csv", [f"text {n}" for n in range(50)]), **job).ledger
    assert "copies" not in ledger
    assert not caplog.messages


def test_few_copies_are_counted_and_not_told(write, job, caplog):
    texts = [f"text {n}" for n in range(250)]
    ledger = nextfill.prepare(data=write("a.csv", [*texts, "text 3"]), **job).ledger
    assert ledger["copies"] == 1
    assert not caplog.messages


def test_copies_fall_on_one_side(write, job):
    source = write("a.csv", [*[f"text {n}" for n in range(700)], *["NULL"] * 300])
    sides = set()
    for seed in range(4):
        ledger = nextfill.prepare(data=source, seed=seed, test_size=400, **job).ledger
        sides.add(ledger["held_out_documents"])
        assert ledger["copies"] == 299
    assert sides == {400}


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_a_held_out_part_of_copies_is_warned_of_each_time(name, write, job, caplog):
    texts = [f"text {n}" for n in range(3)]
    records = [json.dumps({"text": text}) for text in [*texts, *["NULL"] * 300]]
    source = write(name, [*texts, *["NULL"] * 300])
    if name == "a.jsonl":
        Path(source).write_text("\n".join(records))
    ledgers = (
        nextfill.prepare(data=source, seed=n, test_size=302, **job).ledger for n in range(30)
    )
    seed = next(n for n, one in enumerate(ledgers) if one["held_out_documents"] == 302)
    for _ in range(2):
        caplog.clear()
        nextfill.prepare(data=source, seed=seed, test_size=302, **job)
        [warning] = told(caplog, "mostly of copies")
        assert "302 documents held out are 3 different texts, and 300 of them are 'NULL'" in warning
        assert "eval_data=" in warning


def test_evaluation_data_of_copies_are_warned_of(write, job, caplog):
    source = write("a.csv", [f"text {n}" for n in range(50)])
    other = write("b.csv", ["NULL"] * 20)
    nextfill.prepare(data=source, eval_data=other, **job)
    [warning] = told(caplog, "mostly of copies")
    assert "20 documents held out are one text, and all of them are 'NULL'" in warning


def test_a_long_text_is_shown_by_its_beginning(write, job, caplog):
    long = " ".join(f"word{n}" for n in range(100))
    nextfill.prepare(data=write("a.csv", [*[f"text {n}" for n in range(20)], *[long] * 5]), **job)
    [note] = told(caplog, "of another before,")
    assert " ...' (5 times)" in note
    assert len(note) < 400


def test_empty_texts_are_no_copies(write, job):
    source = write("a.csv", [*[f"text {n}" for n in range(20)], *['""'] * 30])
    assert "copies" not in nextfill.prepare(data=source, **job).ledger


def test_copied_files_of_which_the_ends_are_held_out(tmp_path, job, paragraphs, caplog):
    folder = tmp_path / "notes"
    folder.mkdir()
    text = "\n\n".join(paragraphs(40))
    for name in ("a", "b"):
        (folder / f"{name}.txt").write_text(text)
    (folder / "c.txt").write_text("\n\n".join(paragraphs(40, seed=2)))
    nextfill.prepare(data=folder, **job)
    assert "1 of 3 documents has the text" in told(caplog, "of another before,")[0]


def test_a_run_counts_them_too(write, job, tmp_path):
    source = write("a.csv", [*[f"text {n}" for n in range(40)], *["NULL"] * 4])
    settings = {"out": str(tmp_path / "run"), "max_steps": 1, "block_size": 16}
    result = nextfill.train(data=source, **settings, **job)
    assert result.ledger["copies"] == 3
    assert np.isfinite(result.after.perplexity)


class Notes(Silent):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def on_note(self, message: str) -> None:
        self.notes.append(message)


def test_an_evaluation_of_copies_says_so(write, job, tmp_path):
    seen = Notes()
    settings = {"cache_dir": job["cache_dir"], "observer": seen}
    nextfill.evaluate(job["model"], data=write("a.csv", ["NULL"] * 9 + ["a text"]), **settings)
    note = "the 10 documents are 2 different texts, and 9 of them are 'NULL': the figures are "
    assert f"{note}mostly of copies" in seen.notes
    seen.notes.clear()
    nextfill.evaluate(job["model"], data=write("b.csv", ["NULL"] * 2 + ["a text"] * 2), **settings)
    assert not any("mostly of copies" in one for one in seen.notes)


def test_validation_parts_and_further_sets_of_copies_say_so(write, job, tmp_path):
    seen = Notes()
    source = write("a.csv", [*[f"text {n}" for n in range(20)], *["NULL"] * 60])
    settings = {"test_size": 5, "validation_size": 70, "max_steps": 1, "block_size": 16, **job}
    settings |= {"evaluation": {"sets": {"other": {"source": write("b.csv", ["None"] * 4)}}}}
    for seed in range(12):  # until the copies are not held out
        seen.notes.clear()
        out = str(tmp_path / f"run-{seed}")
        result = nextfill.train(data=source, seed=seed, out=out, observer=seen, **settings)
        if result.ledger["validation_documents"] == 70:
            break
    expected = "validation: the 70 documents are 11 different texts, and 60 of them are 'NULL'"
    assert any(one.startswith(expected) for one in seen.notes)
    assert any(one.startswith("other: the 4 documents are one text, and all") for one in seen.notes)
