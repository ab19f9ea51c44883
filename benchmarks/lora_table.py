"""Measure what an adapter gains beside full training, by rank and rate, at equal steps.

Every run is a process of its own, one after another. The held-out perplexity before and after, the
trained parameters, the peak memory and the time go into a JSON file, so that a table that was cut
short goes on where it was; the table is printed as Markdown. The share is that of the full run's
gain in perplexity, and of nats per token, at the best of the full rates.

    python benchmarks/lora_table.py OUT.json
    python benchmarks/lora_table.py OUT.json --data TEXT --model builtin:base-causal --ranks 4 16

Linux alone: the peak is what the kernel says of a process that has ended.
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
from typing import Any

EQUAL = ("--schedule", "linear", "--warmup-steps", "0.05", "--beta1", "0.9", "--quiet", "--json")


def main() -> None:
    given = parse()
    measured: dict[str, dict[str, Any]] = {}
    if given.out.is_file():
        measured = json.loads(given.out.read_text("utf-8"))
    for name, words in jobs(given).items():
        if name not in measured:
            measured[name] = measure(given, words)
            given.out.write_text(json.dumps(measured, indent=1) + "\n", "utf-8")
            print(name, measured[name], file=sys.stderr, flush=True)
    print(table(measured))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("out", type=Path, help="JSON file of the figures")
    parser.add_argument("--model", default="builtin:base-causal")
    parser.add_argument("--data", default="builtin:torch-docs")
    parser.add_argument("--documents", type=int, default=400, help="records to train on")
    parser.add_argument("--held-out", type=int, default=60, help="records held out of those")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--block-size", type=int, default=128)
    parser.add_argument("--seed", default="0", help="of the order, the split and the adapter")
    parser.add_argument("--ranks", type=int, nargs="*", default=[4, 16, 64])
    parser.add_argument("--rates", nargs="*", default=["2e-3", "5e-3", "1e-2"])
    parser.add_argument("--full-rates", nargs="*", default=["1e-3", "2e-3", "4e-3"])
    parser.add_argument(
        "--also",
        action="append",
        default=[],
        help='words of one more run: "--lora-rank 8 --lora-dora"',
    )
    return parser.parse_args()


def jobs(given: argparse.Namespace) -> dict[str, list[str]]:
    """Return the words of every run by its name in the table."""
    full = {f"all weights, {r}": ["--learning-rate", r] for r in given.full_rates}
    adapters = {
        f"rank {rank}, {rate}": ["--lora-rank", str(rank), "--learning-rate", rate]
        for rank in given.ranks
        for rate in given.rates
    }
    return {**full, **adapters, **{words: words.split() for words in given.also}}


def measure(given: argparse.Namespace, words: list[str]) -> dict[str, Any]:
    """Train once, and return its figures."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            *(sys.executable, "-m", "nextfill", "train", "--model", given.model),
            *("--data", given.data, "--split", f"train[:{given.documents}]"),
            *("--test-size", str(given.held_out), "--max-steps", str(given.steps)),
            *("--batch-size", str(given.batch_size), "--block-size", str(given.block_size)),
            *(*EQUAL, "--seed", given.seed),
            *words,
            *("--out", f"{folder}/run"),
        ]
        began_s = time.monotonic()
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        result = json.loads(process.stdout.read())
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        found = json.loads(Path(folder, "run", "measured.json").read_text("utf-8"))
    return {
        "before": result["before"]["perplexity"],
        "after": result["after"]["perplexity"],
        "trained": found["trained_parameters"],
        "parameters": found["parameters"],
        "threads": found["threads"],
        "peak_bytes": used.ru_maxrss * 1024,
        "seconds": time.monotonic() - began_s,
    }


def table(measured: dict[str, dict[str, Any]]) -> str:
    """Return the figures as a Markdown table, with shares of the best full run's gain."""
    from math import log

    full = min((m for n, m in measured.items() if n.startswith("all")), key=lambda m: m["after"])
    rows = [
        "| run, rate | trained | perplexity | of the full gain | of it in nats | peak MB | s |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, one in measured.items():
        share = (one["before"] - one["after"]) / (full["before"] - full["after"])
        nats = log(one["before"] / one["after"]) / log(full["before"] / full["after"])
        rows.append(
            f"| {name} | {one['trained']:,} ({one['trained'] / one['parameters']:.1%}) | "
            f"{one['before']:.2f} to {one['after']:.2f} | {share:.0%} | {nats:.0%} | "
            f"{one['peak_bytes'] / 1e6:.0f} | {one['seconds']:.0f} |"
        )
    return "\n".join(rows)


if __name__ == "__main__":
    main()
