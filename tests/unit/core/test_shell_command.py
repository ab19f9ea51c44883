"""Commands come out of a real shell as they went in, and name the program that runs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from nextfill.core.shell_command import program, shell_command, shell_word

BASH = shutil.which("bash")
WORDS = [
    "runs/x",
    "my runs/x",
    "It's",
    'say "$HOME" `id` $(id) \\ !',
    "*.txt ~ # ; & | < > ( ) { }",
    "été/雪/👩🏽‍💻",
    "a\nb\tc",
    "\x1b[2J\x7f\x00"[:-1] + "0",
    "turned \u202eabc\u2028",
    "it's\nboth \\ and 'quotes'",
    "bytes \udcff\udcfe",
    "",
    "-5 degrees",
]


@pytest.mark.skipif(BASH is None, reason="there is no bash")
@pytest.mark.parametrize("word", WORDS, ids=range(len(WORDS)))
def test_a_word_is_itself_in_a_shell(word):
    line = f"printf '%s' {shell_word(word)}"
    printed = subprocess.run([BASH, "-c", line], stdout=subprocess.PIPE, check=True).stdout
    assert printed == os.fsencode(word)


def test_what_a_terminal_cannot_show_is_spelled(monkeypatch, tmp_path):
    with (tmp_path / "out").open("w", encoding="ascii") as ascii_only:
        monkeypatch.setattr(sys, "stdout", ascii_only)
        assert shell_word("été") == r"$'\xc3\xa9t\xc3\xa9'"
    monkeypatch.undo()
    assert shell_word("été") == "'été'" or shell_word("été").startswith("$'")


def test_a_path_is_never_a_flag():
    assert shell_word(Path("-x")) == "./-x"
    assert shell_word("-x") == "-x"


@pytest.fixture
def venv(tmp_path, monkeypatch):
    """An environment of its own with a program and an interpreter, below the folder one is in."""
    binaries = tmp_path / "my project" / ".venv" / "bin"
    binaries.mkdir(parents=True)
    for name in ("nextfill", "python"):
        (binaries / name).write_text("#!/bin/sh\n")
        (binaries / name).chmod(0o755)
    monkeypatch.chdir(tmp_path / "my project")
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setattr(sys, "executable", str(binaries / "python"))
    return binaries


def started_as(monkeypatch, name):
    monkeypatch.setattr(sys, "argv", [str(name), "train"])


def test_a_program_that_the_shell_does_not_find_is_named_by_its_path(venv, monkeypatch, tmp_path):
    started_as(monkeypatch, ".venv/bin/nextfill")
    assert shell_command("train") == ".venv/bin/nextfill train"
    monkeypatch.chdir(venv)
    started_as(monkeypatch, "./nextfill")
    assert program() == "./nextfill"
    monkeypatch.chdir(tmp_path)
    started_as(monkeypatch, "my project/.venv/bin/nextfill")
    assert program() == "'my project/.venv/bin/nextfill'"
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    started_as(monkeypatch, venv / "nextfill")
    assert program() == f"'{venv}/nextfill'"


def test_one_that_it_finds_is_named_by_its_name(venv, monkeypatch):
    monkeypatch.setenv("PATH", f"{venv}:/usr/bin")
    for name in (venv / "nextfill", ".venv/bin/nextfill", "script.py", ""):
        started_as(monkeypatch, name)
        assert program() == "nextfill"


def test_another_program_of_that_name_is_not_ours(venv, monkeypatch, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "nextfill").write_text("#!/bin/sh\n")
    (other / "nextfill").chmod(0o755)
    monkeypatch.setenv("PATH", f"{other}:/usr/bin")
    started_as(monkeypatch, ".venv/bin/nextfill")
    assert program() == ".venv/bin/nextfill"
    started_as(monkeypatch, "script.py")
    assert program() == ".venv/bin/nextfill"


def test_a_module_is_started_as_a_module(venv, monkeypatch):
    started_as(monkeypatch, venv.parent / "lib" / "nextfill" / "__main__.py")
    assert program() == ".venv/bin/python -m nextfill"
    monkeypatch.setenv("PATH", f"{venv}:/usr/bin")
    assert program() == "python -m nextfill"
    (venv / "nextfill").unlink()
    started_as(monkeypatch, "script.py")
    assert program() == "python -m nextfill"
