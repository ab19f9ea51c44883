"""Seconds of a training step, by PyTorch's engine and by Keras on each back end, taken in turn.

    python benchmarks/keras_step.py [--rounds 3] [--model scratch:gpt2]

Each run is a process of its own, of 30 steps; its first ten, in which Keras compiles, are left out.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ENGINES = ("torch engine", "keras on torch", "keras on jax", "keras on tensorflow")
STEPS, LEFT_OUT = 30, 10


def seconds(engine: str, model: str, folder: Path) -> float:
    """Return the median seconds of a step of a short run."""
    line = [sys.executable, "-m", "nextfill", "train", "--data", "builtin:torch-docs", "--quiet"]
    line += ["--split", "train[:800]", "--eval-split", "test[:2]", "--max-steps", str(STEPS)]
    line += ["--precision", "fp32", "--block-size", "128", "--out", str(folder), "--model", model]
    line += ["--eval-every", str(STEPS), "--save-every", str(STEPS)]
    if model.startswith("scratch:"):
        line += ["--tokenizer", "builtin:base-causal"]
    if engine != ENGINES[0]:
        line += ["--backend", "keras", "--keras-backend", engine.rpartition(" ")[2]]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    subprocess.run(line, check=True, env=environment, stdout=subprocess.DEVNULL)
    timing = (folder / "timing.jsonl").read_text("utf-8").splitlines()
    return statistics.median(json.loads(one)["elapsed_s"] for one in timing[LEFT_OUT:])


def main() -> None:
    """Print the median of each engine, and its ratio to PyTorch's."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", default="builtin:base-causal")
    arguments = parser.parse_args()
    engines = [
        one
        for one in ENGINES
        if one == ENGINES[0] or importlib.util.find_spec(one.rpartition(" ")[2]) is not None
    ]
    found: dict[str, list[float]] = {one: [] for one in engines}
    for _ in range(arguments.rounds):
        for engine in engines:
            with tempfile.TemporaryDirectory() as folder:
                found[engine].append(seconds(engine, arguments.model, Path(folder) / "run"))
    base = statistics.median(found[ENGINES[0]])
    for engine, values in found.items():
        middle = statistics.median(values)
        print(f"{engine:20} {1000 * middle:8.1f} ms a step   {middle / base:5.2f}")


if __name__ == "__main__":
    main()
