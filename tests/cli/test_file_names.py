"""Documents that are whole files go by their names wherever a person sees them."""

from __future__ import annotations

import json

import pytest

from nextfill.cli.main import main

SMALL = ["--block-size", "32", "--batch-size", "2", "--max-steps", "1", "--seed", "0"]


@pytest.fixture
def chapters(tmp_path, paragraphs):
    for number in range(6):
        folder = tmp_path / "book" / f"part-{number // 3}"
        folder.mkdir(parents=True, exist_ok=True)
        text = "\n\n".join(paragraphs(8, seed=number + 1))
        (folder / f"chapter-{number}.txt").write_text(text)
    return tmp_path / "book"


def test_a_run_and_its_evaluation_name_the_file(chapters, tiny_model, tmp_path, capsys, caplog):
    run, out = tmp_path / "run", tmp_path / "documents.jsonl"
    words = ["train", "--data", str(chapters), "--model", str(tiny_model), "--out", str(run)]
    assert main([*words, *SMALL, "--quiet"]) == 0
    capsys.readouterr()
    assert main(["evaluate", str(run), "--show", "1", "--out", str(out), "--json"]) == 0
    (text,) = json.loads(capsys.readouterr().out)["texts"]
    number = text["record"]
    name = f"part-{number // 3}/chapter-{number}.txt"
    assert text["name"] == name
    assert f"{chapters}: held out: {name}" in caplog.messages
    assert json.loads(out.read_text().splitlines()[0])["name"] == name
    assert f"<small>{name}; " in (run / "report.html").read_text()


def test_a_file_that_was_renamed_goes_by_its_new_name(chapters, tiny_model, tmp_path, capsys):
    out = tmp_path / "documents.jsonl"
    words = ["evaluate", str(tiny_model), "--data", str(chapters), "--block-size", "32", "--quiet"]
    assert main([*words, "--out", str(tmp_path / "first.jsonl")]) == 0
    (chapters / "part-1" / "chapter-5.txt").rename(chapters / "part-1" / "the-end.txt")
    assert main([*words, "--out", str(out)]) == 0
    names = [json.loads(line)["name"] for line in out.read_text().splitlines()]
    assert names[-1] == "part-1/the-end.txt"
    assert names[0] == "part-0/chapter-0.txt"


def test_leaks_name_both_files(chapters, tiny_model, capsys):
    for number in range(6):  # the one that is held out among them
        one = chapters / f"part-{number // 3}" / f"chapter-{number}.txt"
        one.with_name(f"copy-{number}.txt").write_text(f"{one.read_text()} And so on.")
    words = ["prepare", "--data", str(chapters), "--model", str(tiny_model), "--block-size", "32"]
    assert main(words) == 0
    said = capsys.readouterr().err
    assert "in the training data: " in said
    assert "% in part-" in said
    assert "records" not in said.partition("in the training data: ")[2].partition("\n")[0]


def test_paragraphs_go_by_their_numbers(chapters, tiny_model, tmp_path):
    out = tmp_path / "documents.jsonl"
    words = ["evaluate", str(tiny_model), "--data", str(chapters), "--txt", "paragraph"]
    assert main([*words, "--block-size", "32", "--out", str(out), "--quiet"]) == 0
    assert all("name" not in json.loads(line) for line in out.read_text().splitlines())
