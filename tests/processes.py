"""Training in a process of its own, which a test kills or interrupts at a moment of its choice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from nextfill.training.run import RunDirectory

MOST_S = 300


def start(*words: object) -> subprocess.Popen[str]:
    """Begin to train, on one core, so that the same run is the same bytes."""
    command = [sys.executable, "-m", "nextfill.cli", "train", *map(str, words), "--quiet"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


def finish(*words: object) -> None:
    """Train to the end."""
    process = start(*words)
    _, errors = process.communicate(timeout=2 * MOST_S)
    assert process.returncode == 0, errors


def signal_when(
    process: subprocess.Popen[str], there: Callable[[], bool], number: signal.Signals
) -> None:
    """Wait until something is the case, and send a signal at once."""
    deadline = time.monotonic() + MOST_S
    while not there():
        assert process.poll() is None, process.communicate()[1]
        if time.monotonic() > deadline:
            process.kill()
            raise TimeoutError(f"not there after {MOST_S} s: {process.communicate()[1]}")
        time.sleep(0.0005)
    process.send_signal(number)


def kill_when(process: subprocess.Popen[str], there: Callable[[], bool]) -> None:
    """Kill a process as soon as something is the case."""
    signal_when(process, there, signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL


def steps_taken(run: Path) -> int:
    """Return the last step that a run's events tell of."""
    return max((event["step"] for event in RunDirectory(run).read_events()), default=0)
