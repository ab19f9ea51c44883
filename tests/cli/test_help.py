"""Help answers at once: hardly slower than importing pydantic, and without importing even that."""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys

import pytest

from nextfill.cli.main import COMMANDS, main

HEAVY = {"torch", "transformers", "pydantic", "numpy", "datasets", "huggingface_hub", "rich"}
ROUNDS = 5
LIMIT = 1.5
YARDSTICK = ("-c", "from pydantic import BaseModel")
IMPORTED = """
import json, sys
from nextfill.cli.main import main
status = main(sys.argv[1:])
print(json.dumps([status, sorted({name.partition(".")[0] for name in sys.modules})]))
"""


def processor_s(*words: str) -> float:
    """Return the user and system time of a Python process, which a busy machine hardly changes."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


@pytest.mark.parametrize("words", [("--help",), ("train", "--help")])
def test_help_takes_little_longer_than_importing_pydantic(words):
    ratios = []
    for _ in range(ROUNDS):
        peer = processor_s(*YARDSTICK)
        ratios.append(processor_s("-m", "nextfill", *words) / peer)
    assert statistics.median(ratios) <= LIMIT, [round(ratio, 2) for ratio in ratios]


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["train", "--help"]])
def test_help_imports_nothing_heavy(words):
    done = subprocess.run(
        [sys.executable, "-c", IMPORTED, *words], capture_output=True, text=True, check=True
    )
    status, modules = json.loads(done.stdout.splitlines()[-1])
    assert status == 0
    assert "nextfill" in modules
    assert not HEAVY & set(modules)


def test_a_mistake_in_the_settings_is_told_without_pytorch():
    words = ["train", "--epochs", "none", "--model", "scratch:gpt2"]
    done = subprocess.run(
        [sys.executable, "-c", IMPORTED, *words], capture_output=True, text=True, check=True
    )
    status, modules = json.loads(done.stdout.splitlines()[-1])
    assert status == 2
    assert "pydantic" in modules
    assert not {"torch", "transformers"} & set(modules)  # a mistake is told before those come


def test_help_lists_every_command(capsys):
    for words in ([], ["--help"], ["-h"]):
        assert main(words) == 0
        out = capsys.readouterr().out
        for name, command in COMMANDS.items():
            assert f"  {name}" in out
            assert command.summary in out


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name, capsys):
    assert main([name, "--help"]) == 0
    assert capsys.readouterr().out.startswith(f"usage: nextfill {name}")


def test_the_version(capsys):
    from nextfill import __version__

    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"nextfill {__version__}\n"


def test_a_command_of_two_words(monkeypatch, capsys):
    shelf = {"shelf list": COMMANDS["report"], "shelf size": COMMANDS["prepare"]}
    monkeypatch.setattr("nextfill.cli.main.COMMANDS", shelf)
    for words in (["shelf"], ["shelf", "--help"]):
        assert main(words) == 0
        out = capsys.readouterr().out
        assert "{list,size}" in out
        assert COMMANDS["prepare"].summary in out
    assert main(["shelf", "list", "--help"]) == 0
    assert "usage: nextfill shelf list RUN" in capsys.readouterr().out
    for words, hint in [(["shelf", "sice"], "Did you mean 'size'?"), (["shelv"], "'shelf'?")]:
        assert main(words) == 2
        assert hint in capsys.readouterr().err
