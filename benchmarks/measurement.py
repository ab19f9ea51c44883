"""Runs in turn, each a process of its own, and the record of a measurement as JSON."""

from __future__ import annotations

import json
import os
import platform
import re
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

LIBRARIES = ("nextfill", "torch", "transformers", "tokenizers", "datasets", "gigatoken", "numpy")


class Run(NamedTuple):
    """What one process took: seconds on the clock, seconds of processors, and its peak memory."""

    seconds: float
    processor_s: float
    peak_mb: float


def run(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Run:
    """Run a command to its end, which must be a good one."""
    begun = time.perf_counter()
    process = subprocess.Popen(
        command,
        env={**os.environ, **(environment or {})},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    error = process.stderr.read() if process.stderr else b""
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command[:6])} ...: {error.decode(errors='replace')[-2000:]}")
    return Run(
        time.perf_counter() - begun, used.ru_utime + used.ru_stime, _megabytes(used.ru_maxrss)
    )


def _megabytes(peak: int) -> float:
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def peak_mb() -> float:
    """Return the most memory that this process has had."""
    return _megabytes(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def medians(rounds: Sequence[Mapping[str, Run]]) -> dict[str, dict[str, float]]:
    """Return the median of each figure by the name of the run."""
    return {
        name: {
            figure: statistics.median(getattr(one[name], figure) for one in rounds)
            for figure in Run._fields
        }
        for name in rounds[0]
    }


def paired_ratio(rounds: Sequence[Mapping[str, Run]], slow: str, fast: str) -> float:
    """Return the median, over rounds, of one run's seconds by another's of the same round."""
    return statistics.median(one[slow].seconds / one[fast].seconds for one in rounds)


def machine() -> dict[str, Any]:
    """Return the hardware and the versions that a figure belongs to."""
    versions = {}
    for name in LIBRARIES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return {
        "processor": _processor(),
        "processors": len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": versions,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())


def folder_of_processor(out: Path) -> Path:
    """Return the folder, within one for all machines, of what is measured on such a processor."""
    name = re.sub(r"\([a-z]+\)", "", _processor().lower())
    return out / (re.sub(r"[^a-z0-9]+", "-", name).strip("-") or "processor")


def record(name: str, results: Mapping[str, Any], out: Path | None) -> None:
    """Print a measurement, and write it to a folder as PROCESSOR/NAME.json if there is one."""
    text = json.dumps({"benchmark": name, **results, "machine": machine()}, indent=1)
    print(text)
    if out is not None:
        folder = folder_of_processor(out)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.json").write_text(text + "\n", "utf-8")
