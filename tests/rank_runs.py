"""Trainings by several ranks, as processes of their own, and what is the same of two of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file

from nextfill.runs.directory import RunDirectory

MOST_S = 240
COMMON = ["--block-size", 32, "--batch-size", 8, "--micro-batch-size", 2, "--dropout", 0.1]
COMMON += ["--precision", "fp32"]
SAME = [*COMMON, "--max-steps", 9, "--eval-every", 3, "--save-every", 3]


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}


def nextfill(*words: object) -> list[str]:
    return [sys.executable, "-m", "nextfill", "train", *map(str, words), "--quiet"]


def torchrun(count: int, restarts: int, *words: object) -> list[str]:
    """The command of torchrun's own, with its restarts."""
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}"]
    command = [*launcher, f"--max-restarts={restarts}", "--monitor-interval=0.2", "-m"]
    return [sys.executable, *command, "nextfill", "train", *map(str, words), "--quiet"]


def begun(*words: object) -> subprocess.Popen[str]:
    """A training by two ranks under way, with three restarts."""
    return subprocess.Popen(
        torchrun(2, 3, *words),
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def done(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, env=environment(), capture_output=True, text=True, timeout=MOST_S, check=False
    )


def trained(*words: object) -> None:
    ended = done(nextfill(*words))
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == ""


def weights(run: Path) -> dict:
    [path] = sorted((run / "model").glob("*.safetensors"))
    return load_file(path)


def apart(one: Path, other: Path) -> float:
    """The largest difference of a weight."""
    ours, theirs = weights(one), weights(other)
    assert ours.keys() == theirs.keys()
    return max(float((ours[name] - theirs[name]).abs().max()) for name in ours)


def assert_same_run(one: Path, other: Path, weight: float = 1e-5) -> None:
    """The same steps and evaluations, within the promised differences."""
    steps, others = (RunDirectory(run).read_events("step") for run in (one, other))
    assert [step["step"] for step in steps] == [step["step"] for step in others]
    for ours, theirs in zip(steps, others, strict=True):
        assert ours["targets"] == theirs["targets"]
        assert ours["learning_rate"] == theirs["learning_rate"]
        assert ours["loss"] == pytest.approx(theirs["loss"], abs=1e-5)
        assert ours["grad_norm"] == pytest.approx(theirs["grad_norm"], abs=1e-5)
    for kind in ("evaluation", "validation"):
        for ours, theirs in zip(
            *(RunDirectory(run).read_events(kind) for run in (one, other)), strict=True
        ):
            assert ours["targets"] == theirs["targets"]
            assert ours["nats"] == pytest.approx(theirs["nats"], rel=1e-6)
    assert apart(one, other) < weight


def ranks_of(launcher: int) -> list[int]:
    """The processes of the ranks that a launcher started, in the order of their numbers."""
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            fields = path.joinpath("stat").read_text().rpartition(")")[2].split()
            words = path.joinpath("environ").read_bytes().split(b"\0")
        except OSError:
            continue
        told = dict(word.partition(b"=")[::2] for word in words)
        if int(fields[1]) == launcher and b"RANK" in told:
            found[int(told[b"RANK"])] = int(path.name)
    return [found[rank] for rank in sorted(found)]


def wait_for(there, process: subprocess.Popen[str], look_s: float = 0.01) -> None:
    deadline = time.monotonic() + MOST_S
    while not there():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(look_s)


def stream(folder: Path, paragraphs) -> list[object]:
    """The words of a training on seven portions of text, that comes twice."""
    path = folder / "texts.jsonl"
    texts = paragraphs(150)
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), "utf-8")
    words = ["--data", path, "--streaming", "--portion-size", 0.004, *COMMON, "--max-steps", 60]
    return [*words, "--eval-every", 30, "--save-every", 2]


def assert_same_portions(one: Path, other: Path) -> None:
    ours, theirs = (RunDirectory(run).read_events("portion") for run in (one, other))
    assert ours == theirs
    assert max(event["pass"] for event in ours) > 1
    assert (one / "ledger.json").read_bytes() == (other / "ledger.json").read_bytes()


LITTLE = ["--cache-limit", "15KB"]
"""Room for the first portion and some two more of `stream`."""
