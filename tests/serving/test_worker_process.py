"""The process that holds the models: lost and begun anew, told to end, and left by its parent."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import psutil
import pytest

PROGRAM = """
import os, sys, time
from nextfill.core.errors import ModelError
from nextfill.core.signals import handle_signals
from nextfill.serving.worker_process import has_own_process, keep_serving

assert has_own_process()

def serve(restarts, ready):
    if sys.argv[1] in ("serves", "fails"):
        ready()
    print(restarts, os.getpid(), flush=True)
    if sys.argv[1] == "refuses":
        raise ModelError("there is no such model")
    if sys.argv[1] == "dies":
        os.kill(os.getpid(), 9)
    if sys.argv[1] == "fails" and not restarts:
        raise ModelError("a layer fails")
    time.sleep(60)

with handle_signals():
    keep_serving(serve, lambda note: print(note, flush=True))
print("ended", flush=True)
"""

Start = Callable[[str], "subprocess.Popen[str]"]


@pytest.fixture
def start() -> Iterator[Start]:
    begun = []

    def begin(kind: str) -> subprocess.Popen[str]:
        words = [sys.executable, "-c", PROGRAM, kind]
        pipe = subprocess.PIPE
        begun.append(subprocess.Popen(words, stdout=pipe, stderr=pipe, text=True))
        return begun[-1]

    yield begin
    for one in begun:
        one.kill()
        one.communicate()


def told(process: subprocess.Popen[str]) -> tuple[int, int]:
    """Return what a worker says of itself: how often it began anew, and its number."""
    restarts, number = process.stdout.readline().split()
    return int(restarts), int(number)


def ends(number: int) -> bool:
    deadline = time.monotonic() + 10
    while psutil.pid_exists(number) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not psutil.pid_exists(number)


def test_a_lost_process_is_told_and_begun_anew(start):
    process = start("serves")
    restarts, first = told(process)
    assert restarts == 0
    os.kill(first, signal.SIGKILL)
    note = process.stdout.readline()
    assert "was ended by SIGKILL" in note
    assert "started again now" in note
    restarts, second = told(process)
    assert (restarts, second != first) == (1, True)
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=10) == ("ended\n", "")
    assert process.returncode == 0
    assert ends(second)


def test_a_process_that_fails_is_begun_anew(start):
    process = start("fails")
    told(process)
    assert "ended with status 1" in process.stdout.readline()
    assert told(process)[0] == 1
    process.send_signal(signal.SIGINT)
    assert "a layer fails" in process.communicate(timeout=10)[1]


@pytest.mark.parametrize(
    ("kind", "message"),
    [("refuses", "ModelError: there is no such model"), ("dies", "SIGKILL.* before it had loaded")],
)
def test_models_that_cannot_be_loaded_are_not_tried_again(start, kind, message):
    process = start(kind)
    out, errors = process.communicate(timeout=10)
    assert process.returncode == 1
    assert len(out.splitlines()) == 1
    assert re.search(message, errors)


def test_a_process_ends_with_the_one_that_began_it(start):
    process = start("serves")
    _, number = told(process)
    process.kill()
    assert ends(number)
