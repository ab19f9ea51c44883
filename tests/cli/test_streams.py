"""Terminals that are not UTF-8, and output that is closed, full, or read by nobody any more."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from nextfill.cli.main import COMMANDS, main
from nextfill.core.errors import NextfillError

SNOW = "Über 雪 “so” 🦊"
ENCODINGS = ("ascii", "latin-1", "cp1252")
NOT_UTF8 = "caf\udce9"
"""A name as Python has it whose last byte is no UTF-8."""


@pytest.fixture(scope="module")
def notes(tmp_path_factory):
    path = tmp_path_factory.mktemp("notes") / "雪.txt"
    texts = [f"Notiz {n}: 雪 fällt auf den Berg und 🦊 schläft. {n * '“so” '}" for n in range(40)]
    path.write_text("\n\n".join(texts), encoding="utf-8")
    return path


@pytest.fixture
def printed(monkeypatch):
    """Run a command whose streams have an encoding, and return its status and what they hold."""

    def run(encoding: str, *words: object, stdin: bytes = b"") -> tuple[int, str, str]:
        streams = [io.TextIOWrapper(io.BytesIO(), encoding=encoding) for _ in range(2)]
        streams.append(io.TextIOWrapper(io.BytesIO(stdin), encoding=encoding))
        for name, stream in zip(("stdout", "stderr", "stdin"), streams, strict=True):
            monkeypatch.setattr(sys, name, stream)
        status = main([str(word) for word in words])
        assert [stream.errors for stream in streams] == ["strict"] * 3, "not put back"
        for stream in streams[:2]:
            stream.flush()
        out, err = (stream.buffer.getvalue().decode(encoding) for stream in streams[:2])
        return status, out, err

    return run


def commands(folder: Path, notes: Path, model: Path) -> list[tuple[str, ...]]:
    """Return every command that shows text from models or data, or names of files."""
    data = ("--data", str(notes))
    few = ("--max-new-tokens", "3")
    run = ("--out", str(folder / "雪"), "--max-steps", "1", "--sample-prompt", SNOW)
    return [
        ("generate", str(model), SNOW, *few),
        ("generate", str(model), SNOW, SNOW, *few),
        ("generate", str(model), SNOW, *few, "--out", str(folder / "雪.jsonl")),
        ("fill", "builtin:base-masked", f"{SNOW} ___ {SNOW}", "--top-k", "2"),
        ("prepare", *data, "--model", str(model)),
        ("evaluate", str(model), *data, "--show", "1"),
        ("evaluate", str(model), "builtin:base-causal", *data, "--show", "1"),
        ("tokenizer", "train", *data, "--out", str(folder / "語"), "--vocab-size", "300"),
        ("tokenizer", "inspect", str(folder / "語"), *data),
        ("train", *data, *run, "--model", str(model), "--block-size", "32"),
        ("report", str(folder / "雪")),
        ("cache", "list"),
        ("cache", "size"),
        ("cache", "prune", "--dry-run"),
        ("recipes",),
        ("recipes", "quickstart"),
        ("recipes", "--schema"),
        ("--help",),
        ("train", "--help"),
    ]


@pytest.mark.parametrize("encoding", ["ascii", pytest.param("cp1252", marks=pytest.mark.trial)])
def test_every_command_shows_what_the_terminal_cannot(
    printed, notes, tiny_model, tmp_path, encoding
):
    snow = [0, 0]
    for words in commands(tmp_path, notes, tiny_model):
        status, out, err = printed(encoding, *words)
        assert status == 0, (words, err)
        assert "Traceback" not in err
        snow[0] += "\\u96ea" in out
        snow[1] += "\\u96ea" in err
    assert snow[0] > 7, "nothing was escaped, so nothing was tried"
    assert snow[1] > 3


@pytest.mark.parametrize("encoding", [*ENCODINGS, "utf-16", "utf-8"])
def test_json_is_whole_in_any_encoding(printed, tiny_model, encoding):
    words = ("generate", tiny_model, SNOW, "--max-new-tokens", 1, "--greedy", "--json")
    status, out, _ = printed(encoding, *words)
    assert status == 0
    assert json.loads(out)[0]["generated_text"].startswith(SNOW)
    assert out.isascii() == (encoding in ENCODINGS)


@pytest.mark.parametrize("words", [["generate", "雪"], ["report", "雪"], ["雪"], ["train", "--雪"]])
def test_an_error_is_told_in_any_encoding(printed, words):
    status, out, err = printed("ascii", *words)
    assert (status, out) == (2, "")
    assert "\\u96ea" in err


def test_lines_of_standard_input_are_utf8_where_its_encoding_is_not(printed, tiny_model):
    status, out, _ = printed(
        "ascii",
        *("generate", tiny_model, "--interactive", "--max-new-tokens", 1),
        stdin=f"{SNOW}\n".encode(),
    )
    assert status == 0
    assert out.startswith("\\xdcber \\u96ea")


def test_words_that_are_utf8_in_another_locale(printed, tiny_model, monkeypatch):
    monkeypatch.setattr(sys, "getfilesystemencoding", lambda: "ascii")
    word = SNOW.encode().decode("ascii", "surrogateescape")
    words = ("generate", tiny_model, word, "--max-new-tokens", 1, "--json")
    status, out, err = printed("utf-8", *words)
    assert status == 0, err
    assert json.loads(out)[0]["generated_text"].startswith(SNOW)


def test_names_that_are_not_utf8(printed, notes, tiny_model, tmp_path):
    data = tmp_path / f"{NOT_UTF8}.txt"
    data.write_bytes(notes.read_bytes())
    model = tmp_path / NOT_UTF8
    model.mkdir()
    for file in tiny_model.iterdir():
        (model / file.name).write_bytes(file.read_bytes())
    out, texts = tmp_path / "run", tmp_path / f"{NOT_UTF8}.jsonl"
    train = ("train", "--model", tiny_model, "--max-steps", 1)
    for words in (
        ("generate", tiny_model, NOT_UTF8),
        ("generate", model, "x"),
        ("fill", "builtin:base-masked", f"{NOT_UTF8} ___"),
        ("train", "--set", f"{NOT_UTF8}=1"),
        (*train, "--data", data, "--out", out),
        (*train, "--data", notes, "--out", tmp_path / f"{NOT_UTF8}-run"),
        ("tokenizer", "train", "--data", notes, "--out", tmp_path / f"{NOT_UTF8}-words"),
    ):
        status, told, err = printed("utf-8", *words)
        assert (status, told) == (2, ""), (words, err)
        assert "UTF-8" in err
        assert "\\udce9" in err
    assert not out.exists()
    for words in (
        ("prepare", "--data", data, "--model", tiny_model, "--json"),
        ("evaluate", tiny_model, "--data", data, "--json"),
        (
            "generate",
            tiny_model,
            "x",
            "--max-new-tokens",
            1,
            "--out",
            texts,
        ),
    ):
        status, told, err = printed("utf-8", *words)
        assert status == 0, err
        assert told == "" or json.loads(told)


def test_files_of_other_names_within_a_folder(printed, notes, tiny_model, tmp_path):
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / f"{NOT_UTF8}.txt").write_bytes(notes.read_bytes())
    run = tmp_path / "run"
    words = ("train", "--data", folder, "--txt", "paragraph", "--model", tiny_model, "--out", run)
    status, _, err = printed("utf-8", *words, "--max-steps", 1, "--block-size", 32)
    assert status == 0, err
    assert printed("utf-8", "evaluate", run, "--show", 1)[0] == 0


@pytest.mark.parametrize("columns", ["0", "1", "-1", "x", "", "1e3", "²", 30 * "9", "99999999"])
def test_a_size_that_no_screen_has_is_left_aside(printed, monkeypatch, columns):
    monkeypatch.delenv("COLUMNS", raising=False)
    plain = [printed("utf-8", *words) for words in (("recipes",), ("train", "--help"))]
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setenv("LINES", columns)
    assert [printed("utf-8", *words) for words in (("recipes",), ("train", "--help"))] == plain
    assert os.environ["COLUMNS"] == columns


def test_what_libraries_say_on_stderr_has_no_secret_in_it(printed, monkeypatch):
    def run(line):
        logging.getLogger("some.library").warning("no https://me:PLANTED@x.org/a?sig=PLANTED here")
        print("trying s3://KEY:PLANTED@bucket", file=sys.stderr)
        raise NextfillError("no s3://KEY:PLANTED@bucket")

    monkeypatch.setitem(COMMANDS, "recipes", replace(COMMANDS["recipes"], run=run))
    monkeypatch.setattr(logging.root, "handlers", [])  # as in a process without pytest
    status, out, err = printed("utf-8", "recipes")
    assert (status, out) == (2, "")
    assert err.splitlines() == [
        "no https://***@x.org/a?*** here",
        "trying s3://***@bucket",
        "nextfill: no s3://***@bucket",
    ]


# closed, full, and read by nobody: what only a process of its own has

_CHILD = (sys.executable, "-m", "nextfill")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_full_disk_behind_stdout_is_told():
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*_CHILD, "recipes", "--json"], stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert done.returncode == 2
    assert done.stderr == b"nextfill: Standard output cannot be written: No space left on device.\n"


@pytest.mark.parametrize("words", [("recipes",), ("recipes", "--json"), ("train", "--help")])
def test_a_reader_that_has_gone_ends_nothing_badly(words):
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([*_CHILD, *words], stdout=write, stderr=subprocess.PIPE, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (0, b"")


def test_closed_streams_end_nothing_and_no_file_gets_their_numbers(tiny_model, tmp_path):
    out = tmp_path / "texts.jsonl"
    command = [*_CHILD, "generate", str(tiny_model), "a", "b", "--max-new-tokens", "2"]
    done = subprocess.run(
        ["sh", "-c", '"$@" <&- >&- 2>&-', "sh", *command, "--out", str(out)], check=False
    )
    assert done.returncode == 0
    assert len(out.read_text("utf-8").splitlines()) == 2


def test_a_full_disk_behind_stderr_does_not_end_what_is_done(notes, tiny_model, tmp_path):
    words = ["prepare", "--data", str(notes), "--model", str(tiny_model), "--json"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([*_CHILD, *words], stdout=subprocess.PIPE, stderr=full, check=False)
    assert done.returncode == 0
    assert json.loads(done.stdout)
