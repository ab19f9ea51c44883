"""The README's two commands, rehearsed from a fresh clone in a new environment."""

import os
import re
import subprocess
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.trial

ROOT = Path(__file__).parents[2]
MOST_S = 600


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clone") / "nextfill"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True)
    return folder


def make(target, folder, **variables):
    environment = {**os.environ, **variables, "NEXTFILL_CACHE": str(folder / "cache")}
    environment.pop("PYTEST_ADDOPTS", None)
    began_s = time.monotonic()
    done = subprocess.run(
        ["make", target], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    elapsed_s = time.monotonic() - began_s
    print(f"make {target}: {elapsed_s:.0f} s, status {done.returncode}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert elapsed_s < MOST_S
    return done.stdout


def test_demo_runs_offline_and_says_how_much_better(clone):
    out = make("demo", clone, HF_HUB_OFFLINE="1")
    before, after = re.search(r"perplexity\s*│\s*([\d.,]+)\s*│\s*([\d.,]+)", out).groups()
    assert float(after) <= 0.6 * float(before)
    for promised in ("Sample", "run:", "model:"):
        assert promised in out
    assert (clone / "runs").is_dir()


def test_tests_pass(clone):
    assert re.search(r"\d+ passed", make("test", clone))
