"""Runs, caches and tokenizers that are written below the folder which is read."""

from __future__ import annotations

import contextlib
import json
import shutil
import zipfile

import pytest

from nextfill.cli.main import main

NUMBER = 24


@pytest.fixture(scope="module")
def made(tmp_path_factory, tiny_model, paragraphs):
    """A folder of notes, which holds a run and its cache, made there by default."""
    folder = tmp_path_factory.mktemp("here") / "notes"
    folder.mkdir()
    for number, text in enumerate(paragraphs(NUMBER)):
        (folder / f"note-{number}.txt").write_text(text)
    words = ["train", "--model", str(tiny_model), "--data", ".", "--cache-dir", "cache"]
    with contextlib.chdir(folder):
        assert main([*words, "--max-steps", "2", "--save-every", "1", "--quiet"]) == 0
    return folder


@pytest.fixture
def notes(made, tmp_path, monkeypatch):
    """A copy of it to stand in."""
    monkeypatch.chdir(shutil.copytree(made, tmp_path / "notes"))
    return tmp_path / "notes"


def run_json(capsys, *words):
    capsys.readouterr()
    assert main([*map(str, words), "--json", "--quiet"]) == 0, capsys.readouterr().err
    return json.loads(capsys.readouterr().out)


def test_globs_archives_and_evaluation_data(notes, capsys, tiny_model):
    (notes / "held.json").write_text(json.dumps([{"text": "a held-out note"}]))
    (notes / "more.json").write_text(json.dumps([{"text": "another note"}]))
    words = ("prepare", "--tokenizer", tiny_model, "--cache-dir", "cache")
    found = run_json(capsys, *words, "--data", "**/*.json*", "--test-size", 0.5)["ledger"]
    assert (found["files"], found["records"]) == (2, 2)
    assert found["files_left_out"] == {"run directory": 1, "cache directory": 1}

    for name in ("held.json", "more.json"):
        (notes / name).unlink()
    with zipfile.ZipFile("all.zip", "w") as archive:
        for path in sorted(notes.rglob("*")):
            if path.name != "all.zip":
                archive.write(path, path.relative_to(notes))
    packed = run_json(capsys, *words, "--data", "all.zip")["ledger"]
    assert packed["files"] == NUMBER
    assert packed["files_left_out"] == {"run directory": 1, "cache directory": 1}

    (notes.parent / "other.txt").write_text("Something else.\n\nAltogether.")
    held = run_json(capsys, *words, "--data", "../other.txt", "--eval-data", ".")["ledger"]
    assert (held["files"], held["held_out_documents"]) == (1 + NUMBER, NUMBER)
    assert held["files_left_out"]["run directory"] == 1


def test_a_run_named_as_data_is_refused(notes, capsys):
    (run,) = (notes / "runs").iterdir()
    assert main(["train", "--data", str(run), "--quiet"]) == 2
    told = " ".join(capsys.readouterr().err.split())
    assert f"{run}' is a run directory" in told
    assert f"{run} serves where a model is asked for." in told


def test_everything_after_it_reads_the_same_text(made, monkeypatch, capsys, tiny_model):
    monkeypatch.chdir(made)
    (run,) = (made / "runs").iterdir()
    first = json.loads((run / "ledger.json").read_text())
    assert (first["files"], first["files_left_out"]) == (NUMBER, {})

    resumed = run_json(capsys, "train", "--out", run, "--resume", "--cache-dir", "cache")
    assert resumed["ledger"] == first
    evaluated = run_json(capsys, "evaluate", run)
    assert evaluated["nats"] == pytest.approx(resumed["after"]["nats"], rel=1e-6)

    words = ("--data", ".", "--cache-dir", "cache")
    second = run_json(
        capsys, "train", "--model", tiny_model, *words, "--max-steps", 1, "--out", "deep/er/run"
    )
    ledger = second["ledger"]
    assert ledger.pop("files_left_out") == {"run directory": 1, "cache directory": 1}
    assert ledger == {key: value for key, value in first.items() if key != "files_left_out"}

    made = run_json(capsys, "tokenizer", "train", *words, "--vocab-size", 300, "--out", "words")
    again = run_json(capsys, "tokenizer", "train", *words, "--vocab-size", 300, "--out", "more")
    assert made["documents"] == again["documents"] == first["train_documents"]

    everything = run_json(capsys, "evaluate", tiny_model, *words, "--out", "costs.jsonl")
    assert everything["documents"] == NUMBER
    run_json(capsys, "evaluate", tiny_model, run / "model", *words, "--out", "both.jsonl")
    assert run_json(capsys, "evaluate", tiny_model, *words)["nats"] == everything["nats"]
    prepared = run_json(capsys, "prepare", "--tokenizer", tiny_model, *words)["ledger"]
    assert prepared["content_sha256"] == first["content_sha256"]
    assert prepared["files_left_out"] == {
        "run directory": 2,
        "cache directory": 1,
        "tokenizer directory": 2,
        "results of nextfill": 2,
    }
