"""Memory of each rank of a training, beside what its state takes by the arithmetic.

The state of a model in float32 with AdamW is 16 bytes for each trained parameter (weight, gradient,
two moments): all of it on each rank with ``ddp``, divided by the ranks with ``fsdp``. Beside it lie
the libraries, measured by a run of a model of two tiny layers, activations, and with ``fsdp`` what
gathers a layer. Each process has one thread; memory is resident memory: the largest while steps are
taken, after the third and before anything is saved, and the largest of all, with the evaluation
before the first step, a checkpoint and an evaluation after the last.

    python benchmarks/rank_memory.py --layers 16 --width 512 -- --data notes.txt --block-size 32 \
        --tokenizer src/nextfill/bundled/base-causal --batch-size 4 --micro-batch-size 1
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from rank_steps import ranks_of

STATE_BYTES = 16
_FIRST = 3
"""Steps after which memory has grown to what a step takes."""


@dataclass
class Memory:
    """Resident memory of the ranks of a run in MB.

    Args:
        steps: The largest of each rank while it takes steps.
        peak: The largest of each.
        trained: Trained parameters of the model.
    """

    steps: list[int]
    peak: list[int]
    trained: int


def resident(pid: int) -> tuple[int, int] | None:
    """Return the resident memory of a process now, and its largest so far, in MB."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return None
    found = {line.split()[0]: int(line.split()[1]) // 1000 for line in lines if "kB" in line}
    return (found["VmRSS:"], found["VmHWM:"]) if "VmRSS:" in found else None


def of_shape(layers: int, width: int) -> list[str]:
    """Return the words of a GPT-2 of a shape, with heads of 64 numbers."""
    shape = {"n_layer": layers, "n_embd": width, "n_head": max(1, width // 64)}
    named = [("--set", f"model.config.{name}={value}") for name, value in shape.items()]
    return ["--model", "scratch:gpt2", *(word for pair in named for word in pair)]


def measured(words: list[str], count: int, parallel: str, steps: int) -> Memory:
    """Train and return the memory of each rank."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        command = [sys.executable, "-m", "nextfill", "train", *words, "--out", str(run), "--quiet"]
        command += ["--max-steps", str(steps), "--eval-every", str(steps), "--precision", "fp32"]
        if count > 1:
            command += ["--nproc", str(count), "--parallel", parallel]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
        of_steps: dict[int, int] = {}
        peak: dict[int, int] = {}
        while process.poll() is None:
            events = run / "events.jsonl"
            taken = events.read_text().count('"event": "step"') if events.is_file() else 0
            for pid in ranks_of(process.pid, count):
                if now := resident(pid):
                    peak[pid] = now[1]
                    if _FIRST <= taken < steps - 1:
                        of_steps[pid] = max(of_steps.get(pid, 0), now[0])
            time.sleep(0.02)
        if process.returncode:
            sys.exit(f"ended with {process.returncode}: {' '.join(command)}")
        trained = json.loads((run / "measured.json").read_text())["trained_parameters"]
    largest = sorted(of_steps, key=lambda pid: of_steps[pid], reverse=True)[:count]
    return Memory([of_steps[pid] for pid in largest], [peak[pid] for pid in largest], trained)


def main() -> None:
    """Measure, and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--layers", type=int, default=16)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("words", nargs="+", help="words of nextfill train, after --")
    asked = parser.parse_args()
    tiny, words = ([*asked.words, *of_shape(*one)] for one in ((2, 8), (asked.layers, asked.width)))
    libraries = max(measured(tiny, 1, "", asked.steps).steps)
    print(f"libraries: {libraries} MB")
    print("| ranks | | state by arithmetic | steps, without libraries | steps | peak |")
    print("|---|---|---|---|---|---|")
    for count in asked.ranks:
        for parallel in ["ddp", "fsdp"] if count > 1 else ["one process"]:
            found = measured(words, count, parallel, asked.steps)
            state = STATE_BYTES * found.trained // 10**6 // (count if parallel == "fsdp" else 1)
            most = max(found.steps)
            row = (count, parallel, state, most - libraries, most, max(found.peak))
            print("|", " | ".join(map(str, row)), "|", flush=True)


if __name__ == "__main__":
    main()
