"""The launch files: read by their schedulers' validators, and SLURM's run to its end.

SLURM's two commands are played by scripts: one node of two processes, which are signalled as before
a preemption, and a second start of the same job.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.processes import steps_taken

pytestmark = pytest.mark.trial

FOLDER = Path(__file__).parents[2] / "docs" / "launch"


@pytest.fixture
def environment(tmp_path):
    """The environment of a job of SLURM on one node, with its commands and some notes."""
    shared, commands = tmp_path / "shared", tmp_path / "bin"
    (shared / "notes").mkdir(parents=True)
    commands.mkdir()
    notes = (f"note {n} on the river and its {n * 7 % 13} stones\n" * 40 for n in range(200))
    for number, text in enumerate(notes):
        (shared / "notes" / f"{number}.txt").write_text(text)
    for name, line in (("scontrol", "echo 127.0.0.1"), ("srun", 'exec "$@"')):
        (commands / name).write_text(f"#!/bin/bash\n{line}\n")
        (commands / name).chmod(0o755)
    scripts = f"{commands}{os.pathsep}{Path(sys.executable).parent}"
    return {
        **os.environ,
        "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}",
        "SHARED": str(shared),
        "SLURM_JOB_ID": str(os.getpid()),
        "SLURM_JOB_NODELIST": "here",
        "SLURM_NNODES": "1",
        "SLURM_GPUS_ON_NODE": "2",
        "SLURM_STEP_NUM_TASKS": "2",
        "OMP_NUM_THREADS": "1",
    }


def test_slurm_runs_it_and_goes_on_after_a_preemption(environment):
    run = Path(environment["SHARED"]) / "run"
    command = ["bash", str(FOLDER / "slurm.sh")]
    process = subprocess.Popen(command, env=environment, start_new_session=True)
    while steps_taken(run) < 3:
        assert process.poll() is None, "it ended before its third step"
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGTERM)
    assert process.wait(timeout=120) != 0
    with suppress(ProcessLookupError):  # the shell ends first, and SLURM waits for all
        while True:
            os.killpg(process.pid, 0)
            time.sleep(0.1)
    saved = steps_taken(run)
    assert saved >= 3
    assert not (run / "model").exists()
    subprocess.run(command, env=environment, check=True, timeout=600)
    assert (run / "model" / "model.safetensors").exists()
    assert steps_taken(run) > saved


def test_kubernetes_reads_its_file():
    pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not installed")
    import kubernetes_validate
    import yaml

    documents = yaml.safe_load_all((FOLDER / "kubernetes.yaml").read_text("utf-8"))
    kinds = []
    for document in documents:
        kubernetes_validate.validate(document, "1.31", strict=True)
        kinds.append(document["kind"])
    assert kinds == ["Service", "Job"]


def test_skypilot_reads_its_file():
    sky = pytest.importorskip("sky", reason="SkyPilot is not installed")
    task = sky.Task.from_yaml(str(FOLDER / "skypilot.yaml"))
    assert task.num_nodes == 2
