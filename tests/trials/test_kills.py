"""Kills at random moments, half of them while something is saved: the run ends in the same bytes.

Takes about ten minutes.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import pytest

from tests.processes import Forks, contents

pytestmark = pytest.mark.trial

KILLS = 17
"""Of each of the seven kinds of runs: 119 in all."""

STEPS = 8
MOST_S = 300.0

SIZES = {
    "gpt2": {"n_embd": 256, "n_layer": 3, "n_head": 4, "n_positions": 128},
    "roberta": {
        **{"hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 3},
        **{"num_attention_heads": 4, "max_position_embeddings": 140},
    },
}

KINDS: Mapping[str, list[str]] = {
    "causal": ["--precision", "fp32"],
    "causal in bf16": ["--precision", "bf16", "--micro-batch-size", "2"],
    "masked": ["--precision", "fp32"],
    "masked in bf16": ["--precision", "bf16"],
    "adapter": ["--precision", "fp32", "--lora-rank", "8", "--lora-dropout", "0.1"],
    "streaming": ["--precision", "fp32", "--streaming", "--portion-size", "0.002"],
    "best": ["--precision", "fp32", "--keep", "best", "--early-stopping", "2"],
}


@pytest.fixture(scope="module")
def forks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forks]:
    forks = Forks(tmp_path_factory.mktemp("forks"))
    yield forks
    forks.end()


@pytest.fixture(scope="module")
def base(
    tiny_tokenizer: Path, text_file: Path, forks: Forks, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A model of that size, for the adapter."""
    folder = tmp_path_factory.mktemp("base") / "run"
    words = shape("gpt2", tiny_tokenizer, text_file, folder.parent / "cache")
    forks.start("train", *words, "--max-steps", 1, "--out", folder, "--quiet")
    assert forks.wait() == 0, forks.errors.read_text()
    return folder / "model"


def shape(kind: str, tokenizer: Path, text: Path, cache: Path) -> list[str]:
    words = ["--model", f"scratch:{kind}", "--tokenizer", tokenizer, "--data", text]
    for key, value in SIZES[kind].items():
        words += ["--set", f"model.config.{key}={value}"]
    return [*map(str, words), "--cache-dir", str(cache)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_killed_run_ends_as_if_it_had_not_been(
    kind: str,
    forks: Forks,
    tiny_tokenizer: Path,
    masked_tokenizer: Path,
    base: Path,
    text_file: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    cache = tmp_path / "cache"
    if kind == "adapter":
        words = ["--model", str(base), "--data", str(text_file), "--cache-dir", str(cache)]
    elif kind.startswith("masked"):
        words = [*shape("roberta", masked_tokenizer, text_file, cache), "--objective", "masked"]
    else:
        words = shape("gpt2", tiny_tokenizer, text_file, cache)
    numbers = {"--block-size": 64, "--batch-size": 4, "--max-steps": STEPS}
    numbers |= {"--save-every": 3, "--eval-every": 2}
    words += [str(word) for pair in numbers.items() for word in pair]
    words += ["--learning-rate", "1e-3", "--quiet", *KINDS[kind]]

    run = tmp_path / "run"
    begin, resume = ["train", *words, "--out", run], ["train", "--out", run, "--resume", "--quiet"]
    forks.start(*begin)
    assert forks.wait() == 0, forks.errors.read_text()  # with an empty cache
    shutil.rmtree(run)
    started = time.monotonic()
    forks.start(*begin)
    assert forks.wait() == 0, forks.errors.read_text()
    elapsed_s = time.monotonic() - started
    whole = contents(run)
    shutil.rmtree(run)

    chance = random.Random(kind)
    killed = in_saves = finished = 0
    while killed < KILLS:
        again = (run / "config.toml").is_file()
        pid = forks.start(*(resume if again else begin))
        if killed % 2:
            saving = wait_for_save(pid, run, chance.randrange(30))
        else:
            time.sleep(chance.uniform(0.05, 1.0) * elapsed_s)
            saving = bool(temporaries(run))
        kill(pid)
        status = forks.wait()
        if status == -signal.SIGKILL:
            killed += 1
            in_saves += saving
        else:
            assert status == 0, forks.errors.read_text()
            finished += 1
            check_equal(run, whole)
            shutil.rmtree(run)
    forks.start(*(resume if (run / "config.toml").is_file() else begin))
    assert forks.wait() == 0, forks.errors.read_text()
    check_equal(run, whole)
    with capsys.disabled():
        print(f"\n{kind}: {killed} kills, {in_saves} in saves, {finished + 1} runs byte-equal")


def temporaries(run: Path) -> list[Path]:
    places = (run, run / "checkpoints", run / "evaluations")
    return [path for place in places for path in place.glob(".*.tmp")]


def wait_for_save(pid: int, run: Path, number: int) -> bool:
    """Wait for a save, after so many others; say whether one is under way."""
    seen, before = 0, False
    deadline = time.monotonic() + MOST_S
    while is_alive(pid):
        now = bool(temporaries(run))
        seen += now and not before
        if now and seen > number:
            return True
        before = now
        assert time.monotonic() < deadline
        time.sleep(0.0005)
    return False


def is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").is_file()


def kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def check_equal(run: Path, whole: Mapping[str, bytes]) -> None:
    found = contents(run)
    differing = [name for name in found.keys() | whole.keys() if found.get(name) != whole.get(name)]
    assert not differing
