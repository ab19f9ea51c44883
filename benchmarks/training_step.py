"""Seconds and memory of a training step, beside transformers' Trainer and the products alone.

    python benchmarks/training_step.py [--objective causal] [--packing concat] [--out FOLDER]
    python benchmarks/training_step.py --sizes 1 4 16 64 --rounds 0 --memory-rows 0 [--out FOLDER]

The models have the shapes of DistilGPT2 and DistilRoBERTa with random weights. Each run is a
process of its own, and the runs of a round follow one another: Nextfill, which keeps the rows that
it trained on; Trainer in float32, as the public guide has it, and in bfloat16, on the same rows in
the same order, from the same weights; and the matrix products of a step in bfloat16 into ready
buffers, of all tokens in every layer, the last one too. The losses of the steps are shown beside
the seconds: they differ by the draws of dropout, by what a token sees of other documents, and
GPT-2's by a factor of 127 / 128, because Trainer divides it by the tokens and not by the targets.
With other work on the machine, give OMP_NUM_THREADS=1 and read the seconds of processors. Memory is
the most that a process has had, libraries and all, in a step of blocks of 1,024. ``--sizes`` takes
steps of other numbers of rows with Nextfill alone, and tells the seconds of each.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from measurement import record, run
from step_workers import (
    OURS,
    OURS_FP32,
    PRODUCTS,
    TRAINER,
    TRAINER_BF16,
    WORKERS,
    make_model,
)
from unique_text import write_rows


def measured(name: str, words: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Run a worker in a process of its own and return its figures."""
    line = [sys.executable, "-W", "ignore", __file__, "--worker", name, "--folder", str(folder)]
    for key, value in words.items():
        line += [f"--{key.replace('_', '-')}", str(value)]
    environment = {"HF_HUB_OFFLINE": "1", "NEXTFILL_CACHE": str(folder / "cache")}
    run(line, environment)
    figures: dict[str, Any] = json.loads((folder / "figures.json").read_text("utf-8"))
    print(f"{name}, {words}: {figures}", file=sys.stderr, flush=True)
    return figures


def ratios(rounds: list[dict[str, Any]], of: str, by: str) -> dict[str, float]:
    """Return the medians, over rounds, of one run's seconds by another's."""
    return {
        figure: statistics.median(one[of][figure] / one[by][figure] for one in rounds)
        for figure in ("seconds", "processor_s")
    }


def compare(words: Mapping[str, Any], rounds: int, folder: Path) -> dict[str, Any]:
    """Measure the runs in turn, round by round."""
    names = (OURS, TRAINER, TRAINER_BF16, PRODUCTS)
    found = [{name: measured(name, words, folder) for name in names} for _ in range(rounds)]
    return {
        **words,
        "rounds": found,
        "trainer fp32 / nextfill": ratios(found, TRAINER, OURS),
        "trainer bf16 / nextfill": ratios(found, TRAINER_BF16, OURS),
        "nextfill / products alone": ratios(found, OURS, PRODUCTS),
    }


def memory(words: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Measure the memory of a step of long blocks, in both precisions."""
    names = (OURS, TRAINER_BF16, OURS_FP32, TRAINER)
    found = {name: measured(name, words, folder)["peak_mb"] for name in names}
    return {
        **words,
        "peak_mb": found,
        "nextfill / trainer, bf16": found[OURS] / found[TRAINER_BF16],
        "nextfill / trainer, fp32": found[OURS_FP32] / found[TRAINER],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--objective", choices=["causal", "masked"], default="causal")
    parser.add_argument("--packing", choices=["concat", "best-fit"], default="concat")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--block-size", type=int, default=128)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--sizes", type=int, nargs="*", default=[], help="rows in a step")
    parser.add_argument("--memory-rows", type=int, default=4, help="blocks of 1,024; 0: none")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        figures = WORKERS[given.worker](given)
        (Path(given.folder) / "figures.json").write_text(json.dumps(figures), "utf-8")
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_model(given.objective, folder / "model")
        write_rows(folder / "rows.jsonl", 1.0)
        names = ("objective", "packing", "batch_size", "block_size", "steps")
        words = {name: getattr(given, name) for name in names}
        results = {"step": compare(words, given.rounds, folder)} if given.rounds else {}
        if given.memory_rows:
            long = {"block_size": 1024, "batch_size": given.memory_rows, "steps": 1}
            results["memory"] = memory({**words, **long}, folder)
        sizes = [
            {"batch_size": rows, **measured(OURS, {**words, "batch_size": rows}, folder)}
            for rows in given.sizes
        ]
    if results:
        record(f"step-{given.objective}-{given.packing}", results, given.out)
    if sizes:
        record("step-rows", {"objective": given.objective, "sizes": sizes}, given.out)


if __name__ == "__main__":
    main()
