"""A run killed outright, at any moment and more than once, ends as if nothing had befallen it.

Takes about a minute and a half.
"""

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

pytestmark = pytest.mark.trial

STEPS = 12


def start(*words: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "nextfill.cli", "train", *map(str, words), "--quiet"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


def finish(*words: object) -> None:
    process = start(*words)
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors


def steps_taken(run: Path) -> int:
    return max((event["step"] for event in RunDirectory(run).read_events()), default=0)


def kill_when(process: subprocess.Popen[str], there: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 300
    while not there():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.0005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL


def writing(run: Path, step: int) -> bool:
    return (run / "checkpoints" / f".step-{step:08d}.tmp").is_dir()


@pytest.fixture(scope="module")
def settings(
    tiny_tokenizer: Path, text_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> list[str]:
    flags = {
        "--model": "scratch:gpt2",
        "--tokenizer": tiny_tokenizer,
        "--data": text_file,
        "--cache-dir": tmp_path_factory.mktemp("cache"),
        "--block-size": 64,
        "--batch-size": 8,
        "--micro-batch-size": 4,
        "--max-steps": STEPS,
        "--save-every": 4,
        "--eval-every": 5,
        "--dropout": 0.1,
        "--learning-rate": 1e-3,
        "--precision": "fp32",
    }
    words = [str(word) for pair in flags.items() for word in pair]
    # Large enough that writing a checkpoint takes a while.
    shape = {"n_embd": 512, "n_layer": 4, "n_head": 8, "n_positions": 128}
    for key, value in shape.items():
        words += ["--set", f"model.config.{key}={value}"]
    return words


@pytest.fixture(scope="module")
def whole(settings: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("whole") / "run"
    finish(*settings, "--out", run)
    return run


def check_equal(run: Path, whole: Path) -> None:
    names = ["events.jsonl", "ledger.json", "model/model.safetensors", "model/config.json"]
    names += [f"evaluations/{file.name}" for file in (whole / "evaluations").iterdir()]
    for name in names:
        assert (run / name).read_bytes() == (whole / name).read_bytes(), name
    assert steps_taken(run) == STEPS
    assert not list(run.rglob("*.tmp"))


def test_before_the_first_checkpoint(settings: list[str], whole: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    kill_when(start(*settings, "--out", run), lambda: steps_taken(run) >= 2)
    assert not list((run / "checkpoints").glob("step-*"))
    finish("--out", run, "--resume")
    check_equal(run, whole)


def test_while_a_checkpoint_is_written(settings: list[str], whole: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    kill_when(start(*settings, "--out", run), lambda: writing(run, 8))
    assert (run / "checkpoints" / "step-00000004").is_dir()
    if writing(run, 8):  # else the kill came an instant late, which must do no harm either
        assert not (run / "checkpoints" / "step-00000008").exists()
    finish("--out", run, "--resume")
    check_equal(run, whole)


def test_three_times_in_one_run(settings: list[str], whole: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    kill_when(start(*settings, "--out", run), lambda: writing(run, 4))
    again = ("--out", run, "--resume")
    kill_when(start(*again), lambda: steps_taken(run) >= 7)
    kill_when(start(*again), lambda: (run / ".model.tmp").is_dir() or (run / "model").is_dir())
    finish(*again)
    check_equal(run, whole)
