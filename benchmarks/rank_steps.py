"""Steps and memory of a training by several processes of one machine, in turn with one process.

Each process has one thread. A step's wall time is the median of those after the first; the
processor's time of a rank is its difference between a longer and a shorter run, over the steps
between. Memory is each rank's largest resident size.

    python benchmarks/rank_steps.py --repeats 3 -- --data notes.txt --batch-size 8
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

TICKS = os.sysconf("SC_CLK_TCK")


def looked_at(pid: int) -> tuple[float, int] | None:
    """Return the seconds of processor time and the largest resident size of a process, in MB."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return None
    peak = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")]
    return (int(fields[11]) + int(fields[12])) / TICKS, int(peak[0]) // 1000 if peak else 0


def ranks_of(launcher: int, count: int) -> list[int]:
    """Return the processes that train."""
    if count == 1:
        return [launcher]
    children = Path(f"/proc/{launcher}/task/{launcher}/children")
    try:
        return [int(word) for word in children.read_text().split()]
    except OSError:
        return []


def trained(words: list[str], count: int, parallel: str, steps: int) -> dict[str, Any]:
    """Train and return the times of the steps, and each rank's processor time and memory."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        command = [sys.executable, "-m", "nextfill", "train", *words, "--out", str(run), "--quiet"]
        command += ["--max-steps", str(steps), "--eval-every", "100000", "--save-every", "100000"]
        if count > 1:
            command += ["--nproc", str(count), "--parallel", parallel]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
        found: dict[int, tuple[float, int]] = {}
        while process.poll() is None:
            for pid in ranks_of(process.pid, count):
                if (now := looked_at(pid)) and now[1]:
                    found[pid] = now
            time.sleep(0.05)
        if process.returncode:
            sys.exit(f"ended with {process.returncode}: {' '.join(command)}")
        lines = [json.loads(line) for line in (run / "timing.jsonl").read_text().splitlines()]
    ranks = sorted(found.values(), reverse=True)[:count]
    return {
        "wall_s": median(line["elapsed_s"] for line in lines[2:]),
        "processor_s": [seconds for seconds, _ in ranks],
        "peak_mb": [peak for _, peak in ranks],
    }


def main() -> None:
    """Measure in turn, and print one JSON object a line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--parallel", nargs="+", default=["ddp"])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--steps", type=int, nargs=2, default=[5, 25])
    parser.add_argument("words", nargs="+", help="words of nextfill train, after --")
    asked = parser.parse_args()
    short, long = asked.steps
    for repeat in range(asked.repeats):
        for count in asked.ranks:
            for parallel in asked.parallel if count > 1 else ["one process"]:
                few, many = (trained(asked.words, count, parallel, n) for n in (short, long))
                step_s = (max(many["processor_s"]) - max(few["processor_s"])) / (long - short)
                about = {"repeat": repeat, "ranks": count, "parallel": parallel}
                figures = {"wall_s": many["wall_s"], "processor_s_of_a_step": step_s}
                load = {"peak_mb": many["peak_mb"], "load": os.getloadavg()[0]}
                print(json.dumps({**about, **figures, **load}), flush=True)


if __name__ == "__main__":
    main()
