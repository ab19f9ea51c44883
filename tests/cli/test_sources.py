"""Every kind of source at the command line: folders, archives, standard input, what is wrong."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from nextfill.cli.main import main
from tests.cli.figures import figures


@pytest.fixture
def run(capsys, tiny_tokenizer, tmp_path, monkeypatch):
    """Run a command and return its status, its JSON, and its messages on one line."""
    monkeypatch.chdir(tmp_path)

    def run(*words: object, tokenizer: bool = True, stdin: bytes | None = None):
        if stdin is not None:
            path = tmp_path / ".stdin"
            path.write_bytes(stdin)
            buffer = path.open("rb")
            monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=buffer))
        options = ["--tokenizer", tiny_tokenizer] if tokenizer else []
        status = main([str(word) for word in [*words, *options, "--json"]])
        if stdin is not None:
            buffer.close()
        printed = capsys.readouterr()
        assert "Traceback" not in printed.err
        result = json.loads(printed.out) if printed.out else None
        return SimpleNamespace(status=status, json=result, said=" ".join(printed.err.split()))

    return run


@pytest.fixture
def notes(tmp_path, paragraphs):
    folder = tmp_path / "notes"
    folder.mkdir()
    for number, text in enumerate(paragraphs(12)):
        (folder / f"{number:02}.md").write_text(text)
    (folder / "picture.png").write_bytes(b"x")
    (folder / ".hidden").touch()
    return folder


def test_a_folder_a_glob_and_an_archive_are_the_same(run, notes, caplog):
    with zipfile.ZipFile("notes.zip", "w") as archive:
        for path in sorted(notes.iterdir()):
            archive.write(path)
    results = [run("prepare", "--data", spec) for spec in ("notes", "notes/*", "notes.zip")]
    assert [one.status for one in results] == [0, 0, 0]
    assert len({tuple(one.json["ledger"]["content_sha256"]) for one in results}) == 1
    for one in results:
        assert one.json["ledger"]["files"] == 12
        assert one.json["ledger"]["files_left_out"] == {"hidden": 1, "no text format (.png)": 1}
    left_out, held_out = "files that are left out: 1 no text format (.png)", "held out: 00.md"
    names = [one.removesuffix("picture.png") for one in caplog.messages]
    assert names[0] == f"notes: {left_out}: "
    assert names[1:3] == [f"notes: {held_out}", f"notes/*: {held_out}"]  # the same files again
    assert names[3].startswith(f"notes.zip: {left_out}: ")
    assert names[4:] == [f"notes.zip: {held_out}"]


def test_a_run_on_standard_input_is_resumed_and_evaluated(run, tiny_model, paragraphs, tmp_path):
    job = ["--model", tiny_model, "--block-size", 64, "--batch-size", 2, "--quiet"]
    text = "\n\n".join(paragraphs(30)).encode()
    done = run("train", "--data", "-", "--out", "run", "--max-steps", 2, *job, stdin=text)
    assert done.status == 0, done.said
    assert done.json["ledger"]["records"] == 30
    recipe = (tmp_path / "run" / "config.toml").read_text()
    assert "inputs/standard-input." in recipe
    assert figures(run("evaluate", "run", tokenizer=False).json) == figures(done.json["after"])
    again = run("train", "--out", "run", "--resume", tokenizer=False)
    assert again.status == 0, again.said
    assert again.json["after"] == done.json["after"]


def test_standard_input_and_format(run, paragraphs):
    lines = "".join(json.dumps({"text": text}) + "\n" for text in paragraphs(20)).encode()
    for content in (lines, gzip.compress(lines, mtime=0)):
        assert run("prepare", "--data", "-", stdin=content).json["ledger"]["records"] == 20
    as_text = run("prepare", "--data", "-", "--format", "txt", "--txt", "line", stdin=lines)
    assert as_text.json["ledger"]["text_field"] is None
    Path("x.log").write_bytes(lines)
    assert "--format" in run("prepare", "--data", "x.log").said
    assert run("prepare", "--data", "x.log", "--format", "jsonl").json["ledger"]["records"] == 20
    Path("eval.txt").write_text("\n\n".join(paragraphs(4, seed=1)))
    both = run("prepare", "--data", "x.log", "--format", "jsonl", "--eval-data", "eval.txt")
    assert (both.status, both.json["ledger"]["records"]) == (0, 24)
    assert run("prepare", "--data", "-", "--eval-data", "-", stdin=lines).status == 2


def test_standard_input_in_a_recipe(run, paragraphs, tiny_model):
    Path("job.toml").write_text('data = "-"\n[training]\nmax_steps = 1\n')
    text = "\n\n".join(paragraphs(30)).encode()
    job = ["--model", tiny_model, "--block-size", 64, "--batch-size", 2, "--quiet"]
    done = run("train", "job.toml", "--out", "run", *job, stdin=text)
    assert done.status == 0, done.said
    assert "standard-input." in Path("run/config.toml").read_text()


def test_prompts_come_from_anywhere(run, tiny_model, paragraphs):
    job = ["generate", tiny_model, "--max-new-tokens", 2, "--quiet"]
    texts = paragraphs(3)
    Path("p.tsv").write_text("prompt\n" + "\n".join(texts) + "\n")
    Path("p.md").write_text("\n".join(texts) + "\n")
    results = [
        run(*job, "--prompts", "p.tsv", tokenizer=False),
        run(*job, "--prompts", "p.md", tokenizer=False),
        run(*job, "--prompts", "-", tokenizer=False, stdin="\n".join(texts).encode()),
    ]
    assert [one.status for one in results] == [0, 0, 0], [one.said for one in results]
    assert results[0].json == results[1].json == results[2].json


def test_one_file_is_one_document_says_what_to_type(run, paragraphs):
    Path("one.md").write_text("\n\n".join(paragraphs(9)))
    failed = run("prepare", "--data", "one.md", "--test-size", 1)
    assert failed.status == 2
    assert "make each paragraph a document with --txt paragraph" in failed.said
    assert run("prepare", "--data", "one.md").status == 0
    assert run("prepare", "--data", "one.md", "--txt", "paragraph").status == 0


def test_a_run_names_its_folder_from_anywhere(run, notes, tiny_model, tmp_path, monkeypatch):
    job = ["--model", tiny_model, "--block-size", 64, "--batch-size", 2, "--quiet"]
    for number, spec in enumerate(("notes", "notes/*.md")):
        out = tmp_path / f"run{number}"
        done = run("train", "--data", spec, "--out", out, "--max-steps", 1, *job)
        assert done.status == 0, done.said
        monkeypatch.chdir(tmp_path.parent)
        assert figures(run("evaluate", out, tokenizer=False).json) == figures(done.json["after"])
        monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "found"),
    [
        ("x.jsonl", b'{"text": "a"}\n{"text": \n', "x.jsonl:2: not JSON"),
        ("x.txt", "één\n\ntwo ".encode() + b"\xff\n", "x.txt: not UTF-8 (line 3, broken in"),
        ("x.txt", b"one\n\0\n", "x.txt:2: found a NUL character"),
        ("x.md", b"one\n\0\n", "x.md:2: found a NUL character"),
        ("x.jsonl", b'{"text": "a\0"}\n', "x.jsonl:1: found a NUL character"),
        ("x.csv", b"text\na\0\n", "x.csv:2: found a NUL character"),
        ("x.tsv", b"text\ta\nb\0\tc\n", "x.tsv:2: found a NUL character"),
        ("x.json", b'[{"text":\n "a\0"}]', "x.json:2: not JSON"),
        ("x.jsonl", b'{"n": 3}\n', "x.jsonl:1: found no field with text"),
        ("x.jsonl", b'{"text": 3}\n', "x.jsonl:1: the field 'text' holds a number"),
        (
            "x.txt.gz",
            gzip.compress(b"some text " * 99, mtime=0)[:-9],
            "x.txt.gz: the gzip data are cut",
        ),
        ("x.zip", b"PK\x03\x04 and no more", "x.zip: the archive is damaged"),
        ("x.parquet", b"PAR1 and no more", "x.parquet: damaged or not Parquet"),
        ("x.arrow", b"ARROW1 and no more", "x.arrow: damaged or not Arrow"),
        ("x.tar.gz", b"x", "unpack it and name the folder"),
    ],
)
def test_bad_input_is_named_and_leaves_nothing(run, tmp_path, name, content, found):
    (tmp_path / name).write_bytes(content)
    failed = run("prepare", "--data", name)
    assert (failed.status, failed.json) == (2, None)
    assert found in failed.said
    assert {path.name for path in tmp_path.iterdir()} == {name}
    assert not list(Path(os.environ["NEXTFILL_CACHE"]).glob("stores/*"))


def test_an_output_folder_in_use_uses_up_no_standard_input(run, tiny_model, paragraphs):
    Path("run").mkdir()
    Path("run/mine.txt").write_text("mine")
    failed = run("train", "--model", tiny_model, "--data", "-", "--out", "run", stdin=b"text")
    assert failed.status == 2
    assert "not empty" in failed.said
    assert Path("run/mine.txt").read_text() == "mine"
    assert not list(Path(os.environ["NEXTFILL_CACHE"]).glob("inputs/*"))


def test_no_secret_is_shown_or_written(run, tmp_path):
    address = "http://me:hunter2@127.0.0.1:9/a.txt?sig=hunter2"
    failed = run("prepare", "--data", address)
    assert failed.status == 2
    assert "hunter2" not in failed.said
    assert "http://***@127.0.0.1:9/a.txt?***" in failed.said


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 400 kB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount, umount = shutil.which("mount"), shutil.which("umount")
    if not (mount and umount and os.geteuid() == 0):
        pytest.skip("only root may mount a file system")
    command = [mount, "-t", "tmpfs", "-o", "size=400k", "tmpfs", disk]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"no file system can be mounted: {made.stderr.strip()}")
    try:
        yield disk
    finally:
        subprocess.run([umount, "--lazy", disk], check=True)  # a lock file may be open


def test_a_full_disk_leaves_the_cache_whole(run, small_disk, paragraphs):
    text = "\n\n".join(paragraphs(6000)).encode()
    Path("x.txt").write_bytes(text)
    words = ["prepare", "--cache-dir", small_disk]
    for data, stdin in (("x.txt", None), ("-", text)):
        failed = run(*words, "--data", data, stdin=stdin)
        assert failed.status == 2
        assert "disk is full" in failed.said or "No space left" in failed.said
        assert "ake room" in failed.said
        left = [path for name in ("stores", "inputs") for path in small_disk.glob(f"{name}/**/*")]
        assert not [path for path in left if path.is_file()]
    Path("small.txt").write_text("\n\n".join(paragraphs(60)))
    assert run(*words, "--data", "small.txt").status == 0
    assert run(*words, "--data", "small.txt").json["reused"]
