"""The WikiText-2 recipe against a plain PyTorch loop that is given the same time, three seeds.

Takes about forty minutes, in turn on the same cores.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

import nextfill

pytestmark = pytest.mark.trial

ROOT = Path(__file__).parents[2]
RECIPE = Path(str(resources.files("nextfill"))) / "recipes" / "wikitext2-scratch.toml"
MOST_S = 20 * 60


def run(*words: object) -> tuple[Any, float]:
    began_s = time.monotonic()
    done = subprocess.run(
        [sys.executable, *map(str, words)], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1]), time.monotonic() - began_s


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_at_least_as_good_as_a_plain_loop_in_the_same_time(
    test_data: Path, tmp_path: Path, seed: int
) -> None:
    texts = test_data / "wikitext2"
    ours, elapsed_s = run(
        *("-m", "nextfill", "train", RECIPE, "--seed", seed, "--out", tmp_path / "ours"),
        *("--data", texts / "train.txt", "--eval-data", texts / "test.txt"),
        *("--cache-dir", tmp_path / "cache", "--quiet", "--json"),
    )
    assert elapsed_s <= MOST_S
    measured = json.loads((tmp_path / "ours" / "measured.json").read_text("utf-8"))
    assert measured["parameters"] <= 5_000_000
    plain, plain_s = run(
        *(ROOT / "benchmarks" / "plain_loop.py", RECIPE, texts / "train.txt"),
        *(Path(ours["model"]), tmp_path / "plain", "--seconds", elapsed_s, "--seed", seed),
    )
    theirs = nextfill.evaluate(
        tmp_path / "plain", data=str(texts / "test.txt"), txt="file", block_size=256
    )
    assert theirs.targets == ours["after"]["targets"]
    print(
        f"seed {seed}: test perplexity {ours['after']['perplexity']:.2f} in {elapsed_s:.0f} s "
        f"({ours['steps']} steps); plain loop {theirs.perplexity:.2f} in {plain_s:.0f} s "
        f"({plain['steps']} steps)"
    )
    assert plain_s <= elapsed_s + 5
    assert ours["after"]["perplexity"] <= theirs.perplexity
    report = (tmp_path / "ours" / "report.html").read_text(encoding="utf-8")
    assert f"{ours['after']['perplexity']:.2f}" in report
    assert "<svg" in report
