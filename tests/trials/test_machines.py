"""Two machines, played by two network namespaces: one is cut off, killed, and begun anew."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from safetensors.torch import load_file

from nextfill.runs.directory import RunDirectory

pytestmark = pytest.mark.trial

MOST_S = 420
NETWORK = "10.77.31"
PORT = 29511
MACHINES = ("nextfill-a", "nextfill-b")
SETTINGS = "--block-size 32 --batch-size 8 --micro-batch-size 2 --dropout 0.1 --precision fp32"
SETTINGS += " --eval-every 60 --save-every 10 --max-steps 120 --quiet"


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@pytest.fixture
def machines() -> Iterator[tuple[str, str]]:
    """Two network namespaces with a cable between them."""
    if sys.platform != "linux" or shutil.which("ip") is None or os.geteuid() != 0:
        pytest.skip("network namespaces need Linux, the program ip, and root's rights")
    made = subprocess.run(["ip", "netns", "add", MACHINES[0]], check=False, capture_output=True)
    if made.returncode:
        pytest.skip(f"no network namespace can be made: {made.stderr.decode().strip()}")
    try:
        ip("netns", "add", MACHINES[1])
        ip("link", "add", "nf-a", "type", "veth", "peer", "name", "nf-b")
        for number, (name, cable) in enumerate(zip(MACHINES, ("nf-a", "nf-b"), strict=True), 1):
            ip("link", "set", cable, "netns", name)
            ip("-n", name, "addr", "add", f"{NETWORK}.{number}/24", "dev", cable)
            for device in ("lo", cable):
                ip("-n", name, "link", "set", device, "up")
        yield MACHINES
    finally:
        for name in MACHINES:
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


def launched(number: int, words: list[str]) -> subprocess.Popen[str]:
    """Start torchrun on a machine."""
    cable = f"nf-{'ab'[number]}"
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "GLOO_SOCKET_IFNAME": cable,
        "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",
    }
    command = [
        *("ip", "netns", "exec", MACHINES[number], sys.executable, "-m", "torch.distributed.run"),
        *("--nnodes", "2", "--nproc-per-node", "1", "--max-restarts", "3"),
        *("--rdzv-id", "trial", "--rdzv-backend", "c10d", "--monitor-interval", "0.5"),
        *("--rdzv-conf", f"is_host={int(number == 0)}"),
        *("--rdzv-endpoint", f"{NETWORK}.1:{PORT}", "--local-addr", f"{NETWORK}.{number + 1}"),
        *("-m", "nextfill", "train", *words),
    ]
    return subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def end(process: subprocess.Popen[str], number: int) -> None:
    """Kill all that runs on a machine: its launcher, and ranks, which have own sessions."""
    listed = ["ip", "netns", "pids", MACHINES[number]]
    while found := subprocess.run(
        listed, check=True, capture_output=True, text=True
    ).stdout.split():
        for pid in map(int, found):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)
    process.wait()
    if process.stdout is not None:
        process.stdout.close()


def weights(run: Path) -> dict:
    [path] = sorted((run / "model").glob("*.safetensors"))
    return load_file(path)


@pytest.mark.parametrize("cut_s", [5, 80])
def test_a_machine_that_is_cut_off_and_killed_costs_steps_alone(
    cut_s, machines, tiny_model, text_file, tmp_path
):
    words = ["--model", str(tiny_model), "--data", str(text_file), *SETTINGS.split()]
    whole = tmp_path / "whole"
    both = [launched(number, [*words, "--out", str(whole)]) for number in (0, 1)]
    told = [one.communicate(timeout=MOST_S)[0] for one in both]
    assert [one.returncode for one in both] == [0, 0], told
    run = tmp_path / "cut"
    first, second = [launched(number, [*words, "--out", str(run)]) for number in (0, 1)]
    try:
        deadline = time.monotonic() + MOST_S
        while not (run / "checkpoints" / "step-00000030").exists():
            assert first.poll() is None, first.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        ip("-n", machines[1], "link", "set", "nf-b", "down")
        time.sleep(cut_s)
        end(second, 1)
        ip("-n", machines[1], "link", "set", "nf-b", "up")
        second = launched(1, [*words, "--out", str(run)])
        told = [one.communicate(timeout=MOST_S)[0] for one in (first, second)]
    finally:
        end(first, 0)
        end(second, 1)
    assert [first.returncode, second.returncode] == [0, 0], told
    if cut_s > 60:
        assert "Rank 1 cannot be reached" in told[0] or "Rank 0 cannot be reached" in told[0]
    ours, theirs = weights(run), weights(whole)
    assert max(float((ours[name] - theirs[name]).abs().max()) for name in ours) < 1e-6
    losses = [
        [step["loss"] for step in RunDirectory(one).read_events("step")] for one in (run, whole)
    ]
    assert losses[0] == pytest.approx(losses[1], abs=1e-6)
    assert not (run / "launchers.json").exists()
