"""A run killed or interrupted, at any moment and more than once, ends as if nothing had happened.

Takes about four minutes.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file

from tests.processes import finish, kill_when, signal_when, start, steps_taken
from tests.small_job import check_equal, words_of

pytestmark = pytest.mark.trial


def writing(run: Path, step: int) -> bool:
    return (run / "checkpoints" / f".step-{step:08d}.tmp").is_dir()


@pytest.fixture(scope="module")
def settings(
    tiny_tokenizer: Path, text_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> list[str]:
    """A job large enough that writing a checkpoint takes a while."""
    return words_of(
        tiny_tokenizer,
        text_file,
        tmp_path_factory.mktemp("cache"),
        width=512,
        layers=4,
        heads=8,
        save_every=4,
        eval_every=5,
    )


@pytest.fixture(scope="module")
def whole(settings: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("whole") / "run"
    finish(*settings, "--out", run)
    return run


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


def importing_torch(process: subprocess.Popen[str], run: Path) -> bool:
    return "libtorch_cpu" in Path(f"/proc/{process.pid}/maps").read_text()


MOMENTS: dict[str, Callable[[subprocess.Popen[str], Path], bool]] = {
    "PyTorch is imported": importing_torch,
    "the run directory is made": lambda _, run: run.is_dir(),
    "the settings are written": lambda _, run: (run / "config.toml").is_file(),
    "the first evaluation is under way": lambda _, run: (run / "ledger.json").is_file(),
    "a sample is generated": lambda _, run: (run / "evaluations" / "step-00000000.npz").is_file(),
    "the first step is taken": lambda _, run: steps_taken(run) >= 1,
    "a checkpoint is written": lambda _, run: writing(run, 4),
    "a later evaluation is under way": lambda _, run: (
        run / "checkpoints" / "step-00000005"
    ).is_dir(),
    "a step in the middle": lambda _, run: steps_taken(run) >= 9,
    "the model is saved": lambda _, run: (run / ".model.tmp").is_dir(),
}


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("moment", MOMENTS)
def test_ctrl_c_at_ten_moments(
    settings: list[str], whole: Path, tmp_path: Path, moment: str
) -> None:
    run = tmp_path / "run"
    process = start(*settings, "--out", run)
    signal_when(process, lambda: MOMENTS[moment](process, run), signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    finished = (run / "model").is_dir()  # the interrupt came an instant late
    assert process.returncode == (0 if finished else 130), errors
    assert "Traceback" not in errors
    check_no_half_file(run)
    if not finished and (run / "config.toml").is_file():
        assert f"nextfill train --out {run} --resume" in errors
        finish("--out", run, "--resume")
    elif not finished:
        finish(*settings, "--out", run)
    check_equal(run, whole)


def check_no_half_file(run: Path) -> None:
    """Read every file back."""
    for path in run.rglob("*"):
        assert not path.name.endswith(".tmp"), path
        if path.suffix == ".json":
            json.loads(path.read_text("utf-8"))
        elif path.suffix == ".jsonl":
            text = path.read_bytes()  # of a run that was stopped at its very first event, nothing
            assert not text or text.endswith(b"\n")
            [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        elif path.suffix == ".npz":
            with np.load(path) as scores:
                assert all(len(scores[name]) for name in scores)
        elif path.suffix == ".safetensors":
            assert load_file(path)


SAVED_AND_KILLED_AT_EACH_STEP = """
import os, signal, sys
from pathlib import Path
from nextfill.config import ModelConfig
from nextfill.models.load import load_model
from nextfill.training.job import save_model
from nextfill.runs.directory import RunDirectory

run = RunDirectory(Path(sys.argv[1]))
loaded = load_model(ModelConfig(name=str(run.path)))

def kill_at(step):
    steps = iter(range(1_000_000))
    def hook(event, arguments):
        if event.partition(".")[0] in ("os", "shutil") and next(steps) == step:
            os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(hook)

for step in range(10_000):
    pid = os.fork()
    if pid == 0:
        kill_at(step)
        save_model(loaded, run.model, merge=True)
        os._exit(0)
    ended = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    names = sorted(path.name for path in run.model.iterdir()) if run.model.is_dir() else []
    print(ended, *names, flush=True)
    if ended == 0:
        break
"""


def test_a_saved_model_is_there_wherever_saving_it_again_is_killed(
    whole: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    command = [sys.executable, "-c", SAVED_AND_KILLED_AT_EACH_STEP, str(run)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    seen = [line.split() for line in done.stdout.splitlines()]
    assert [ended for ended, *_ in seen] == ["-9"] * (len(seen) - 1) + ["0"]
    assert len(seen) > 10
    files = sorted(path.name for path in (whole / "model").iterdir() if path.name != "README.md")
    there = [[ended, *(name for name in names if name != "README.md")] for ended, *names in seen]
    assert [one for one in there if one[1:] != files] == []
    finish("--out", run, "--resume")
    check_equal(run, whole)
