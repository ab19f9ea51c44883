"""Two processes begin, or go on with, a run in one folder: one wins whole, the other is refused.

Takes about ten minutes.
"""

from __future__ import annotations

import random
import shutil
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.processes import Forks, contents
from tests.trials.test_kills import check_equal

pytestmark = pytest.mark.trial

NEW = 150
RESUMED = 50


@pytest.mark.parametrize(("count", "resumes"), [(NEW, False), (RESUMED, True)])
def test_one_wins_whole_and_the_other_is_refused(
    count: int,
    resumes: bool,
    tiny_model: Path,
    text_file: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = tmp_path / "run"
    common = ["--model", tiny_model, "--data", text_file, "--cache-dir", tmp_path / "cache"]
    common += ["--max-steps", 2, "--batch-size", 2, "--block-size", 32, "--device", "cpu"]
    words = [["train", *common, "--seed", seed, "--out", run, "--quiet"] for seed in (1, 2)]
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    forks = [Forks(tmp_path / name) for name in ("one", "other")]
    whole = []
    for each, asked in zip(forks, words, strict=True):
        each.start(*asked)
        assert each.wait() == 0, each.errors.read_text()
        whole.append(contents(run))
        shutil.copytree(run, tmp_path / f"whole-{len(whole)}")
        shutil.rmtree(run)
    assert whole[0] != whole[1]
    if resumes:
        words = [["train", "--out", run, "--resume", "--quiet"]] * 2

    chance, counts = random.Random(count), Counter[str]()
    for number in range(count):
        if resumes:
            shutil.copytree(tmp_path / "whole-1", run)
            shutil.rmtree(run / "model")
        elif number % 3 == 0:
            run.mkdir()
        order = chance.sample((0, 1), 2)
        for at in order:
            forks[at].start(*words[at])
            time.sleep(chance.choice((0.0, 0.001, 0.01, 0.03, 0.1)))
        status = [each.wait() for each in forks]
        told = [each.errors.read_text() for each in forks]
        assert "Traceback" not in "".join(told)
        winners = [at for at in (0, 1) if status[at] == 0]
        if resumes and status == [0, 0]:  # the second came when the first had finished
            counts["one after the other"] += 1
        else:
            assert sorted(status) == [0, 2], told
            loser = told[1 - winners[0]]
            counts[loser.partition(str(run))[2].strip().split(".")[0]] += 1
        check_equal(run, whole[0 if resumes else winners[0]])
        shutil.rmtree(run)
    for each in forks:
        each.end()
    with capsys.disabled():
        print(f"\n{count} pairs: {dict(counts)}")
