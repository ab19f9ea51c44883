"""What each command prints as its next step, typed into a shell as it stands, does what it says."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from nextfill.cli.main import main
from nextfill.cli.tables import show_training
from nextfill.core.errors import Interrupted
from nextfill.runs.reader import train_result

BASH = shutil.which("bash")
pytestmark = pytest.mark.skipif(BASH is None, reason="there is no bash")

NAME = 'Anna\'s été "$HOME"/-first'
PROMPT = "It's the `river`, $HOME"
STEP = re.compile(
    r"(?:(?:try|Begin with):\s+|with:\s+|by: |it: |run: |See: |type: |It [a-z ]+: )(.+)"
)


@pytest.fixture
def typed(tmp_path, monkeypatch):
    """Type a line into a shell; return the arguments that `nextfill` is started with there.

    The shell is a real one; the program in it only tells its arguments, and the test goes on with
    them in its own process.
    """
    binaries, told = tmp_path / "bin", tmp_path / "told"
    binaries.mkdir()
    script = binaries / "nextfill"
    script.write_text(f"#!/bin/sh\nprintf '%s\\0' \"$@\" > '{told}'\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{binaries}:{os.environ['PATH']}")
    monkeypatch.setattr(sys, "argv", [str(script)])

    def run(line: str) -> list[str]:
        assert line.startswith("nextfill "), line
        done = subprocess.run([BASH, "-c", line], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), line
        return told.read_bytes().decode("utf-8", "surrogateescape").split("\0")[:-1]

    return run


def steps(text: str) -> list[str]:
    """Return the commands that a text ends its lines with."""
    found = STEP.findall(text.replace("with:\n", "with:"))
    assert found, text
    return found


@pytest.fixture(scope="module")
def trained(tiny_model, text_file, tmp_path_factory):
    """A folder with a tiny run of a name that a shell would take apart, and what it printed."""
    folder = tmp_path_factory.mktemp("here")
    words = ["train", "--model", tiny_model, "--data", text_file, "--out", f"runs/{NAME}"]
    words += ["--max-steps", "1", "--block-size", "32", "--sample-prompt", PROMPT, "--quiet"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("NEXTFILL_CACHE", str(folder / "cache"))
        patch.setattr(sys, "argv", ["nextfill"])
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            assert main([str(word) for word in words]) == 0
    return folder, printed.getvalue()


@pytest.fixture
def run(trained, monkeypatch):
    """The run, below the folder one stands in."""
    monkeypatch.chdir(trained[0])
    return Path("runs") / NAME


def test_train(trained, run, typed, capsys):
    line = trained[1].splitlines()[-1]
    assert line.startswith("try:    ")
    command = line.split(":", 1)[1].strip()
    command = "nextfill" + command[command.index(" generate") :]
    words = typed(command)
    assert words[:2] == ["generate", str(run)]
    assert words[-1] == PROMPT
    assert main([*words, "--max-new-tokens", "2", "--quiet"]) == 0
    assert capsys.readouterr().out.startswith(words[-1])


def test_a_prompt_that_begins_like_a_flag(run, typed, capsys):
    sample = {"step": 1, "prompt": "-5 degrees", "text": "-5 degrees and"}
    show_training(replace(train_result(run), samples=[sample]))
    words = typed(steps(capsys.readouterr().out)[-1])
    assert main([*words[:2], "--max-new-tokens", "2", "--quiet", *words[2:]]) == 0
    assert capsys.readouterr().out.startswith("-5 degrees")


@pytest.mark.parametrize(
    ("prompt", "typed_prompt"),
    [
        ("Name the longest river of Africa.\n", "Name the longest river of Africa.\n"),
        ("Q: It's a \\ day?\n\tA:", "Q: It's a \\ day?\n\tA:"),
        ("river " * 2_000, ("river " * 2_000)[:3_995]),
    ],
)
def test_the_prompt_of_the_sample_is_typed_whole(prompt, typed_prompt, run, typed, capsys):
    show_training(replace(train_result(run), samples=[{"step": 1, "prompt": prompt, "text": "a"}]))
    words = typed(steps(capsys.readouterr().out)[-1])
    assert words[-1] == typed_prompt
    assert (words[2:4] == ["--max-new-tokens", "60"]) is (len(prompt) > 200)


def test_the_line_of_a_masked_sample_that_has_a_blank(run, typed, capsys):
    sample = {"step": 1, "prompt": "A heading\nThe ___ is cold.", "text": "a"}
    masked = replace(train_result(run), objective="masked", samples=[sample])
    show_training(masked)
    assert typed(steps(capsys.readouterr().out)[-1])[2:] == ["The ___ is cold."]


def test_a_run_that_is_there_or_was_interrupted(run, typed, capsys, tiny_model, text_file):
    job = ["train", "--model", str(tiny_model), "--data", str(text_file), "--out", f"./{run}"]
    assert main(job) == 2
    words = typed(steps(capsys.readouterr().err)[0])
    assert words == ["train", "--out", str(run), "--resume"]
    assert words == typed(steps(str(Interrupted(3, str(run))))[0])
    assert main(words) == 0
    told = capsys.readouterr()
    more, further = map(typed, steps(told.err)[:2])
    assert more == ["train", "--out", str(run), "--resume", "--max-steps", "N"]
    assert further == ["train", str(run / "config.toml"), "--model", str(run)]
    assert main([*further, "--max-steps", "1", "--out", "further", "--quiet"]) == 0
    assert typed(steps(told.out)[-1])[:2] == ["generate", str(run)]


def test_report(run, typed, capsys):
    assert main(["report", str(run), "--no-open"]) == 0
    assert Path(capsys.readouterr().out.strip()).is_file()


def test_evaluate_generate_and_fill(run, typed, capsys):
    assert main(["fill", str(run), "a ___"]) == 2
    words = typed(steps(capsys.readouterr().err)[0])
    assert words == ["generate", str(run), "a text to continue"]
    assert main([*words, "--max-new-tokens", "2", "--quiet"]) == 0
    assert main(["evaluate", str(run), "--stride"]) == 2
    assert capsys.readouterr().err.rstrip().endswith("Type: --stride STRIDE")


def test_share(run, typed, capsys):
    assert main(["share", str(run), "me/model"]) == 2
    told = capsys.readouterr().err
    words = typed(steps(told)[-1])
    assert words in (["share", str(run), "me/model"], ["login"])


def test_recipes_and_help(typed, capsys):
    assert main(["recipes"]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    show, train = re.findall(r"(nextfill \w+ NAME)", last)
    words = typed(show.replace("NAME", "eli5-causal"))
    assert main(words) == 0
    assert typed(train.replace("NAME", "eli5-causal")) == ["train", "eli5-causal"]
    assert main([]) == 0
    assert typed(steps(capsys.readouterr().out)[0]) == ["train"]


@pytest.mark.parametrize("kind", ["bpe", "wordpiece"])
def test_tokenizer_train(kind, text_file, typed, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = "It's mine"
    words = ["tokenizer", "train", "--data", str(text_file), "--vocab-size", "400", "--kind", kind]
    assert main([*words, "--out", folder, "--quiet"]) == 0
    words = typed(steps(capsys.readouterr().out)[-1])
    assert words[words.index("--tokenizer") + 1] == folder
    small = ["--max-steps", "1", "--batch-size", "1", "--block-size", "16", "--out", "run"]
    assert main([*words, *small, "--quiet"]) == 0
    assert "Held-out documents" in capsys.readouterr().out
    assert main(["tokenizer", "inspect", folder, "--data", str(text_file), "--quiet"]) == 0


def test_prepare_and_cache_have_no_next_step(text_file, tiny_model, capsys):
    words = ["prepare", "--tokenizer", str(tiny_model), "--data", str(text_file), "--quiet"]
    for command in (words, ["cache", "list"], ["cache", "size"], ["cache", "prune"]):
        assert main(command) == 0
        assert "nextfill " not in capsys.readouterr().out


@pytest.mark.parametrize("way", ["script", "module"])
def test_the_program_itself_in_a_shell_that_does_not_find_it(way, tmp_path):
    script = Path(sys.executable).with_name("nextfill")
    if not script.is_file():
        pytest.skip("there is no script beside the interpreter")
    (tmp_path / "env").symlink_to(Path(sys.executable).parent)
    start = "env/nextfill" if way == "script" else f"{sys.executable} -m nextfill"
    environment = {**os.environ, "PATH": "/usr/bin:/bin"}

    def shell(line: str) -> str:
        done = subprocess.run(
            [BASH, "-c", line],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    last = shell(f"{start} recipes").splitlines()[-1]
    command = last.partition(" NAME")[0] + " eli5-causal"
    assert command.startswith(start)
    assert "[model]" in shell(command)
