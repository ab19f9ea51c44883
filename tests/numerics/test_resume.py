"""A run that is killed or stopped and gone on with equals one that was not, byte by byte."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from nextfill.training.run import RunDirectory

STEPS = 12


def command(*words: object) -> list[str]:
    return [sys.executable, "-m", "nextfill.cli", "train", *map(str, words), "--quiet"]


def start(words: list[str]) -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    return subprocess.Popen(
        words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


def finish(words: list[str]) -> None:
    process = start(words)
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors


def wait_for(process: subprocess.Popen[str], there: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 300
    while not there():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.002)


def steps_taken(run: Path) -> int:
    events = RunDirectory(run).read_events()
    return max((event["step"] for event in events), default=0)


@pytest.fixture(scope="module")
def settings(
    tiny_tokenizer: Path, text_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> list[str]:
    """A job of 12 steps with dropout, a little larger than tiny so that a step can be hit."""
    flags = {
        "--model": "scratch:gpt2",
        "--tokenizer": tiny_tokenizer,
        "--data": text_file,
        "--cache-dir": tmp_path_factory.mktemp("cache"),
        "--block-size": 64,
        "--batch-size": 8,
        "--micro-batch-size": 4,
        "--max-steps": STEPS,
        "--save-every": 5,
        "--eval-every": 4,
        "--dropout": 0.1,
        "--learning-rate": 1e-3,
        "--precision": "fp32",
    }
    words = [str(word) for pair in flags.items() for word in pair]
    shape = {"n_embd": 128, "n_layer": 3, "n_head": 4, "n_positions": 128}
    for key, value in shape.items():
        words += ["--set", f"model.config.{key}={value}"]
    return words


@pytest.fixture(scope="module")
def whole(settings: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that nothing befell."""
    run = tmp_path_factory.mktemp("whole") / "run"
    finish(command(*settings, "--out", run))
    return run


def check_equal(run: Path, whole: Path) -> None:
    names = ["events.jsonl", "ledger.json", "model/model.safetensors", "model/config.json"]
    names += [f"evaluations/{file.name}" for file in (whole / "evaluations").iterdir()]
    for name in names:
        assert (run / name).read_bytes() == (whole / name).read_bytes(), name
    assert steps_taken(run) == STEPS


def test_a_killed_run_ends_as_if_it_had_not_been(
    settings: list[str], whole: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    process = start(command(*settings, "--out", run))
    wait_for(process, lambda: steps_taken(run) >= 7)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert steps_taken(run) < STEPS
    assert not (run / "model").exists()
    finish(command("--out", run, "--resume"))
    check_equal(run, whole)


def test_an_interrupted_run_saves_says_how_to_go_on_and_goes_on(
    settings: list[str], whole: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    process = start(command(*settings, "--out", run))
    wait_for(process, lambda: steps_taken(run) >= 2)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 130, errors
    at = steps_taken(run)
    assert 2 <= at < STEPS
    assert f"{at} steps are saved" in errors
    assert f"nextfill train --out {run} --resume" in errors
    assert "Traceback" not in errors
    assert (run / "checkpoints" / f"step-{at:08d}" / "cursor.json").is_file()
    finish(command("--out", run, "--resume"))
    check_equal(run, whole)
