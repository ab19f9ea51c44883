"""`nextfill report`: what it prints, what it opens, and that it never costs a run."""

import json
import os
import pty
import subprocess
import sys

import pytest

from nextfill.cli.main import main


@pytest.fixture
def run(make_run, tmp_path):
    return make_run(tmp_path / "a run")


def test_the_path_is_printed(run, capsys):
    assert main(["report", str(run)]) == 0
    assert capsys.readouterr().out == f"{run / 'report.html'}\n"
    assert (run / "report.html").read_text("utf-8").startswith("<!doctype html>")


def test_json_is_one_object(run, capsys):
    assert main(["report", str(run), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"report": str(run / "report.html")}


@pytest.mark.parametrize(
    ("words", "opened"), [([], True), (["--no-open"], False), (["--json"], False)]
)
def test_at_a_terminal_the_page_opens(run, tmp_path, words, opened):
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\nprintf %s "$1" > {tmp_path}/opened\n')
    browser.chmod(0o755)
    ours, theirs = pty.openpty()
    done = subprocess.run(
        [sys.executable, "-m", "nextfill", "report", str(run), *words],
        stdout=theirs,
        env=os.environ | {"BROWSER": str(browser)},
        check=False,
    )
    os.close(theirs)
    assert done.returncode == 0
    assert str(run / "report.html") in os.read(ours, 10_000).decode()
    os.close(ours)
    address = tmp_path / "opened"
    assert address.exists() is opened
    if opened:
        assert address.read_text() == (run / "report.html").as_uri()


def test_what_is_no_run_is_told(tmp_path, capsys):
    assert main(["report", str(tmp_path)]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert f"nextfill: {tmp_path} holds no run" in told.err


def test_training_ends_with_a_report_and_a_failing_one_loses_nothing(
    tiny_model, text_file, tmp_path, capsys
):
    run = tmp_path / "run"
    words = ["--model", str(tiny_model), "--data", str(text_file), "--block-size", "64"]
    assert main(["train", *words, "--out", str(run), "--max-steps", "2", "--quiet"]) == 0
    assert f"report: {run / 'report.html'}\n" in capsys.readouterr().out
    (run / "report.html").unlink()
    (run / "report.html").mkdir()
    assert main(["train", "--resume", "--out", str(run), "--json"]) == 0
    told = capsys.readouterr()
    assert "The run is saved, its report is not:" in told.err
    assert f"Try again with: nextfill report {run}" in told.err
    assert json.loads(told.out)["report"] is None
    assert (run / "model" / "model.safetensors").is_file()
