"""What becomes of the memory of large tensors that are freed between small ones."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from nextfill.models.computation import return_large_tensors, tune_allocator

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
    pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="tunes glibc"),
]
MANY, NUMBERS = 60, 2**19
ROOT = Path(__file__).parents[3]


def resident_mb() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) // 1000 for line in lines if line.startswith("RssAnon"))


def kept_mb(*, returns: bool) -> int:
    """Free 120 MB of tensors, each between small ones, in a fork of this process."""
    reader, writer = os.pipe()
    if not (pid := os.fork()):
        tune_allocator()
        if returns:
            return_large_tensors()
        before = resident_mb()
        small = []
        for _ in range(MANY):
            large = [torch.ones(NUMBERS) for _ in range(2)]
            small.append(torch.ones(NUMBERS // 64))
            del large[0]
            small.append(large)
        small = [one for one in small if isinstance(one, torch.Tensor)]
        os.write(writer, str(resident_mb() - before).encode())
        os._exit(0)
    os.close(writer)
    os.waitpid(pid, 0)
    with os.fdopen(reader) as told:
        return int(told.read())


FIGURES = """
from tests.unit.models.test_freed_memory import kept_mb
print(kept_mb(returns=True), kept_mb(returns=False))
"""


def test_large_tensors_are_given_back():
    # A process that has done much has gaps in its heap, into which large tensors fit.
    found = subprocess.run(
        [sys.executable, "-c", FIGURES], check=True, capture_output=True, text=True, cwd=ROOT
    )
    given_back, kept = map(int, found.stdout.split())
    assert given_back < 30
    assert kept > 90
