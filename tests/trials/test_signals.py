"""SIGTERM and SIGHUP at any moment: the state is saved, nothing is left over, the end is the same.

Takes about fifteen minutes.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.processes import steps_taken

pytestmark = pytest.mark.trial

STEPS = 6
SIGNALLED = 50
KINDS = {
    "causal": ("--model", "builtin:base-causal"),
    "masked": ("--model", "builtin:base-masked"),
    "LoRA": ("--model", "builtin:base-causal", "--lora-rank", "4"),
}
SETTINGS = {
    "--block-size": 64,
    "--batch-size": 4,
    "--max-steps": STEPS,
    "--save-every": 2,
    "--eval-every": 3,
    "--precision": "fp32",
    "--sample-prompt": "A ___.",
}
CHANGING = {"timing.jsonl", "measured.json", "report.html", "config.toml", ".lock"}
CHANGING |= {"checksums.json", "run.json"}  # which hold a checksum of the first
"""Files that tell of times, of the machine, and of where the run lies."""


def start(folder: Path, *words: str) -> subprocess.Popen[bytes]:
    """Begin a command with a cache and a folder for temporary files of its own."""
    own = {name: str(folder / name) for name in ("cache", "tmp")}
    (folder / "tmp").mkdir(parents=True, exist_ok=True)
    one_core = {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    return subprocess.Popen(
        [sys.executable, "-m", "nextfill", *words],
        env={**os.environ, **one_core, "NEXTFILL_CACHE": own["cache"], "TMPDIR": own["tmp"]},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def train(folder: Path, kind: str, data: Path) -> subprocess.Popen[bytes]:
    flags = [str(word) for pair in SETTINGS.items() for word in pair]
    run = ("--data", str(data), "--out", str(folder / "run"))
    return start(folder, "train", *run, *KINDS[kind], *flags)


def finish(process: subprocess.Popen[bytes]) -> None:
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors.decode()


def left_over(folder: Path) -> list[str]:
    """Return what a stopped process should have taken away."""
    found = [path for path in folder.rglob("*") if ".tmp" in path.name]
    # What PyTorch keeps for every process there, it keeps undisturbed, too.
    found += (path for path in (folder / "tmp").iterdir() if "torchinductor" not in path.name)
    return [str(path.relative_to(folder)) for path in found]


def content(run: Path) -> dict[str, bytes]:
    """Return a run's files, of its checkpoints the last: a stop makes one of its own before it."""
    last = run / "checkpoints" / f"step-{STEPS:08d}"
    paths = (
        path
        for path in run.rglob("*")
        if path.is_file()
        and path.name not in CHANGING
        and ("checkpoints" not in path.parts or path.parent == last)
    )
    return {str(path.relative_to(run)): path.read_bytes() for path in paths}


@pytest.fixture(scope="module")
def undisturbed(
    text_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[dict[str, bytes], float]]:
    """Each kind of run, never stopped: its files, and the seconds from its settings to its end."""
    made = {}
    for kind in KINDS:
        folder = tmp_path_factory.mktemp("whole")
        finish(train(folder, kind, text_file))
        began_s = (folder / "run" / "config.toml").stat().st_mtime
        made[kind] = content(folder / "run"), time.time() - began_s
        assert steps_taken(folder / "run") == STEPS
    return made


def stopped(
    folder: Path, kind: str, data: Path, number: signal.Signals, after_s: float, step: int
) -> str:
    """Stop a run so long after a step (-1 for its start); go on with it, and say how far it was."""
    process = train(folder, kind, data)
    while step >= 0 and process.poll() is None:
        if (folder / "run" / "events.jsonl").exists() and steps_taken(folder / "run") >= step:
            break
        time.sleep(0.005)
    try:
        _, errors = process.communicate(timeout=after_s)
        ended = True
    except subprocess.TimeoutExpired:
        ended = False
        process.send_signal(number)
        _, errors = process.communicate(timeout=120)
    told, run = errors.decode("utf-8", "replace"), folder / "run"
    assert "Traceback" not in told, told
    assert left_over(folder) == [], told
    # Before the command line is there, and after it has said all, the system ends the process.
    usual = (128 + number, -number)
    assert process.returncode in ((0,) if ended else (0, *usual)), told
    where = "finished" if (run / "model").is_dir() else f"step {steps_taken(run)}"
    if not run.is_dir():
        finish(train(folder, kind, data))
        return "before the run"
    if process.returncode == 128 + number and where != "finished":
        assert f"nextfill train --out {run} --resume" in told
    finish(start(folder, "train", "--out", str(run), "--resume"))
    return where


def test_fifty_signals_at_any_moment(
    undisturbed: dict[str, tuple[dict[str, bytes], float]], text_file: Path, tmp_path: Path
) -> None:
    rng = random.Random(0)
    tried = [
        (
            list(KINDS)[n % len(KINDS)],
            (signal.SIGTERM, signal.SIGHUP)[n % 2],
            rng.uniform(0, 1),
        )
        for n in range(SIGNALLED)
    ]

    def one(number: int) -> str:
        kind, which, share = tried[number]
        folder = tmp_path / str(number)
        files, whole_s = undisturbed[kind]
        step = number % (STEPS + 2) - 1  # one in eight while it is imported and reads
        after_s = share * (whole_s / STEPS if step >= 0 else 10)
        where = stopped(folder, kind, text_file, which, after_s, step)
        found = content(folder / "run")
        every = found.keys() | files.keys()
        differing = [name for name in every if found.get(name) != files.get(name)]
        print(f"\n{number}: {kind}, {which.name} at {where}: {differing or 'equal'}", flush=True)
        assert differing == []
        shutil.rmtree(folder)
        return where

    with ThreadPoolExecutor(2) as pool:
        moments = Counter(pool.map(one, range(SIGNALLED)))
    print(f"\n{SIGNALLED} signals: {dict(sorted(moments.items()))}")
    assert sum(moments.values()) == SIGNALLED


COMMANDS: dict[str, tuple[str, ...]] = {
    "generate": (
        "generate",
        "builtin:base-causal",
        "A",
        *["--max-new-tokens", "500", "--num-samples", "64"],
    ),
    "generate many": ("generate", "builtin:base-causal", *("A",) * 400, "--out", "texts.jsonl"),
    "interactive": ("generate", "builtin:base-causal", "--interactive"),
    "prepare": ("prepare", "--data", "builtin:stdlib-docs"),
    "evaluate": ("evaluate", "builtin:base-causal", "--data", "builtin:stdlib-docs"),
    "fill": ("fill", "builtin:base-masked", *("A ___ .",) * 400),
    "tokenizer train": ("tokenizer", "train", "--data", "builtin:stdlib-docs", "--out", "words"),
}


def moments() -> Iterator[tuple[str, signal.Signals, float]]:
    rng = random.Random(1)
    for name in COMMANDS:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            yield name, number, rng.uniform(0.02, 6)


@pytest.mark.parametrize(("name", "number", "after_s"), list(moments()))
def test_every_command_stops(
    name: str, number: signal.Signals, after_s: float, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    process = start(tmp_path, *COMMANDS[name])
    time.sleep(after_s)
    for _ in range(10 if number == signal.SIGINT else 1):  # ten fast ones
        if process.poll() is None:
            process.send_signal(number)
        time.sleep(0.01)
    _, errors = process.communicate(timeout=120)
    assert process.returncode in (0, 128 + number, -number), errors
    assert b"Traceback" not in errors
    assert left_over(tmp_path) == []
    print(f"\n{name}: {number.name} after {after_s:.1f} s: {process.returncode}")


def test_hangup_is_ignored_under_nohup(tmp_path: Path, text_file: Path) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # which a process hands on
    try:
        process = train(tmp_path, "causal", text_file)
    finally:
        signal.signal(signal.SIGHUP, before)
    while process.poll() is None:
        process.send_signal(signal.SIGHUP)
        time.sleep(0.2)
    finish(process)
