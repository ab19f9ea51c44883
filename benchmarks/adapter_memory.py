"""Measure peak memory and step time of training an adapter beside those of all weights.

The model has DistilGPT2's shape, 82 million parameters, and random weights. Every run is a process
of its own, one after another, of a few steps without evaluations of more than a document. The peak
is what the kernel says of a process that has ended, libraries and all, so that it is Linux alone.

    python benchmarks/adapter_memory.py
    python benchmarks/adapter_memory.py --also "--lora-rank 16 --gradient-checkpointing"
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

RUNS = (
    *("", "--lora-rank 8", "--lora-rank 16", "--lora-rank 16 --lora-dora"),
    *(
        "--lora-rank 16 --lora-quantization nf4",
        "--lora-rank 16 --lora-dora --lora-quantization nf4",
    ),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--block-size", type=int, default=128)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--data", default="builtin:torch-docs")
    parser.add_argument("--tokenizer", default="builtin:base-causal")
    parser.add_argument("--only", action="store_true", help="none but those of --also")
    parser.add_argument("--also", action="append", default=[], help="words of one more run")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model = make_model(Path(folder, "model"), given.tokenizer)
        print("| trained | parameters | peak MB | of the first | s a step |\n|---|---|---|---|---|")
        full = 0
        for at, words in enumerate([*([] if given.only else RUNS), *given.also]):
            peak, trained, step_s = measure(given, model, words, Path(folder, f"run-{at}"))
            full = full or peak
            name = f"`{words}`" if words else "all weights"
            share = f"{peak / 1e6:.0f} | {peak / full:.2f}"
            print(f"| {name} | {trained:,} | {share} | {step_s:.2f} |", flush=True)


def make_model(folder: Path, tokenizer: str) -> Path:
    """Save a random model of DistilGPT2's shape in a process of its own."""
    code = (
        "import sys, torch\n"
        "from transformers import GPT2Config, GPT2LMHeadModel\n"
        "torch.manual_seed(0)\n"
        "GPT2LMHeadModel(GPT2Config(n_layer=6)).save_pretrained(sys.argv[1])\n"
    )
    subprocess.run([sys.executable, "-c", code, folder], check=True, capture_output=True)
    return folder


def measure(
    given: argparse.Namespace, model: Path, words: str, out: Path
) -> tuple[int, int, float]:
    """Train once, and return peak bytes, trained parameters and the median step in seconds."""
    command = [
        *(sys.executable, "-m", "nextfill", "train", "--model", str(model)),
        *("--tokenizer", given.tokenizer, "--data", given.data, "--split", "train[:200]"),
        *("--test-size", "1", "--max-steps", str(given.steps), "--quiet", "--json"),
        *("--batch-size", str(given.batch_size), "--block-size", str(given.block_size)),
        *("--packing", "concat", "--out", str(out), *words.split()),
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(command)}: exit status {process.returncode}")
    found = json.loads((out / "measured.json").read_text("utf-8"))
    timing = (out / "timing.jsonl").read_text("utf-8").splitlines()
    step_s = statistics.median(json.loads(line)["elapsed_s"] for line in timing)
    return used.ru_maxrss * 1024, found["trained_parameters"], step_s


if __name__ == "__main__":
    main()
