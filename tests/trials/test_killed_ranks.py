"""A rank that is killed is started again where its launcher does so, and ends all where not."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.processes import steps_taken
from tests.rank_runs import (
    COMMON,
    LITTLE,
    MOST_S,
    apart,
    assert_same_portions,
    begun,
    environment,
    nextfill,
    ranks_of,
    stream,
    trained,
    wait_for,
)

pytestmark = pytest.mark.trial
LONG = [*COMMON, "--max-steps", 5000, "--eval-every", 5000, "--save-every", 3]


@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
@pytest.mark.parametrize("seed", range(10))
def test_a_killed_rank_is_started_again(seed, parallel, tiny_model, text_file, tmp_path):
    chance = random.Random(seed)
    words = ["--model", tiny_model, "--data", text_file, *COMMON, "--save-every", 2]
    words += ["--max-steps", 40, "--eval-every", 20]
    words += ["--parallel", parallel]
    trained(*words, "--out", tmp_path / "whole", "--nproc", 2)
    out = tmp_path / "killed"
    process = begun(*words, "--out", out)
    step = chance.randint(3, 36)
    wait_for((out / f"checkpoints/step-{step // 2 * 2:08d}").exists, process)
    time.sleep(chance.random() * 0.2)
    if process.poll() is None and (ranks := ranks_of(process.pid)):
        os.kill(ranks[chance.randrange(2)], signal.SIGKILL)
    _, errors = process.communicate(timeout=MOST_S)
    assert process.returncode == 0, errors
    assert apart(out, tmp_path / "whole") < 1e-6


@pytest.mark.parametrize("seed", range(6))
def test_a_rank_killed_in_the_middle_of_a_save_is_started_again(
    seed, tiny_model, text_file, tmp_path
):
    chance = random.Random(seed)
    words = ["--model", tiny_model, "--data", text_file, *COMMON, "--save-every", 1]
    words += ["--max-steps", 30, "--eval-every", 30, "--parallel", "fsdp"]
    trained(*words, "--out", tmp_path / "whole", "--nproc", 2)
    out = tmp_path / "killed"
    process = begun(*words, "--out", out)
    step = chance.randint(1, 24)
    wait_for((out / f"checkpoints/step-{step:08d}").exists, process)
    # Of a share itself, half written, in three of the cases.
    hidden = "checkpoints/.step-*.tmp" + ("/.share-*" if seed % 2 else "")
    wait_for(lambda: [*out.glob(hidden)], process, look_s=0)
    os.kill(ranks_of(process.pid)[chance.randrange(2)], signal.SIGKILL)
    _, errors = process.communicate(timeout=MOST_S)
    assert process.returncode == 0, errors
    assert apart(out, tmp_path / "whole") == 0
    assert not [*out.rglob(".*.tmp")]


@pytest.mark.parametrize("seed", range(4))
def test_a_rank_of_a_stream_that_is_killed_is_started_again(
    seed, tiny_model, paragraphs, tmp_path, monkeypatch
):
    chance = random.Random(seed)
    limit = LITTLE if seed % 2 else []
    words = ["--model", tiny_model, *stream(tmp_path, paragraphs)]
    words += ["--parallel", "fsdp" if seed > 1 else "ddp"]
    trained(*words, "--out", tmp_path / "whole", "--nproc", 2)
    monkeypatch.setenv("NEXTFILL_CACHE", str(tmp_path / "other"))
    out = tmp_path / "killed"
    process = begun(*words, "--out", out, *limit)
    step = chance.randint(3, 56)
    wait_for(lambda: steps_taken(out) >= step, process, look_s=0.001)
    os.kill(ranks_of(process.pid)[chance.randrange(2)], signal.SIGKILL)
    _, errors = process.communicate(timeout=MOST_S)
    assert process.returncode == 0, errors
    assert apart(out, tmp_path / "whole") == 0
    assert_same_portions(out, tmp_path / "whole")


@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_rank_ends_all_and_says_so(rank, tiny_model, text_file, tmp_path):
    words = ["--model", tiny_model, "--data", text_file, *LONG]
    out = tmp_path / "run"
    process = subprocess.Popen(
        nextfill(*words, "--out", out, "--nproc", 2),
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for((out / "checkpoints/step-00000003").exists, process)
    ranks = ranks_of(process.pid)
    os.kill(ranks[rank], signal.SIGKILL)
    started = time.monotonic()
    _, errors = process.communicate(timeout=60)
    assert time.monotonic() - started < 60
    assert process.returncode in (1, 2)
    assert errors.count("nextfill: ") == 1, errors
    assert f"Rank {rank} of 2 was ended by SIGKILL" in errors
    assert f"--out {out} --resume --nproc 2" in errors
    assert not [one for one in ranks if Path(f"/proc/{one}").exists()]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_ends_all(number, tiny_model, text_file, tmp_path):
    words = ["--model", tiny_model, "--data", text_file, *LONG]
    out = tmp_path / "run"
    process = subprocess.Popen(
        nextfill(*words, "--out", out, "--nproc", 2),
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for((out / "checkpoints/step-00000003").exists, process)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + number, errors
    steps = int(re.search(r"stopped; (\d+) steps are saved", errors)[1])
    assert (out / f"checkpoints/step-{steps:08d}").is_dir()
    assert "Traceback" not in errors
