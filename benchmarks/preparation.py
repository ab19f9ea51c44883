"""Seconds and memory of preparing a text, beside the public guide's way, in turn.

    python benchmarks/preparation.py [--megabytes 50] [--rounds 3] [--tokenizer NAME] [--out FOLDER]
    python benchmarks/preparation.py --sizes 500 1000 4000 --encoder --name preparation-large

The text is unique (`unique_text.py`): no cache of documents is of use. Each run is a process of its
own, with empty caches. The ids of the first round are compared, document by document.

``--sizes`` prepares texts of further sizes, and tells the seconds, and the memory, of each; with
``--encoder`` the encoder alone follows on the same text, in turn. The guide's seconds for them are
extrapolated from its median at ``--megabytes``. Memory is the most that was resident at once, the
pages of mapped files included, as the system counts it (``ru_maxrss``).
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from measurement import Run, medians, paired_ratio, record, run
from unique_text import write_rows

OURS, GUIDE = "nextfill prepare", "the guide, 2 processes"


def prepare(data: Path, tokenizer: str, cache: Path) -> Run:
    line = [sys.executable, "-m", "nextfill", "prepare", "--data", str(data)]
    line += ["--text-field", "answers.text", "--tokenizer", tokenizer, "--block-size", "128"]
    return run([*line, "--cache-dir", str(cache), "--quiet"])


def growth(
    sizes: Sequence[float], tokenizer: str, folder: Path, *, rounds: int, with_encoder: bool
) -> list[dict[str, Any]]:
    """Prepare texts of these sizes in megabytes, the smallest first, the encoder alone in turn."""
    found: list[dict[str, Any]] = []
    for size in sorted(sizes):
        data, cache = folder / "sized.jsonl", folder / f"cache-of-{size:g}"
        write_rows(data, size)
        ours: list[dict[str, Run]] = []
        alone: list[dict[str, float]] = []
        for _ in range(rounds):
            ours.append({OURS: prepare(data, tokenizer, cache)})
            shutil.rmtree(cache)
            if with_encoder:
                alone.append(encoder_alone(data, tokenizer))
        one: dict[str, Any] = {"megabytes": size, **medians(ours)[OURS]}
        if alone:
            pairs = zip(alone, ours, strict=True)
            shares = [encoder["seconds"] / each[OURS].seconds for encoder, each in pairs]
            one["encoder alone"] = sorted(alone, key=lambda each: each["seconds"])[rounds // 2]
            one["encoder alone / nextfill"] = statistics.median(shares)
        found.append(one)
        print(one, file=sys.stderr)
        data.unlink()
    return found


def encoder_alone(data: Path, tokenizer: str) -> dict[str, float]:
    script = str(Path(__file__).with_name("encoder_alone.py"))
    line = [sys.executable, script, str(data), tokenizer]
    done = subprocess.run(line, check=True, stdout=subprocess.PIPE)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def extrapolated(sizes: list[dict[str, Any]], guide_s: float, megabytes: float) -> None:
    """Add to each size how many times as long the guide would take, as it takes for each MB."""
    for one in sizes:
        of_guide = guide_s * one["megabytes"] / megabytes
        one["guide, extrapolated / nextfill"] = of_guide / one["seconds"]


def guide(data: Path, tokenizer: str, out: str, cache: Path) -> Run:
    script = str(Path(__file__).with_name("guide_preparation.py"))
    environment = {"HF_HOME": str(cache), "HF_HUB_OFFLINE": "1"}
    return run([sys.executable, script, str(data), tokenizer, out], environment)


def ids_of(cache: Path) -> np.ndarray:
    from nextfill.data.store.token_store import TokenStore

    [folder] = (cache / "stores").iterdir()
    return np.concatenate([np.asarray(one) for one in TokenStore.open(folder).shard_tokens])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=float, default=50)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tokenizer", default="builtin:base-causal")
    parser.add_argument("--alone", action="store_true", help="leave the guide out")
    parser.add_argument("--sizes", type=float, nargs="*", default=[], help="further, in megabytes")
    parser.add_argument("--size-rounds", type=int, default=1, help="runs of each of these")
    parser.add_argument("--encoder", action="store_true", help="and the encoder alone on them")
    parser.add_argument("--name", default="preparation", help="of the record of the measurement")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    name = arguments.tokenizer
    if name.startswith("builtin:"):
        import nextfill

        bundled = Path(nextfill.__file__).parent / "bundled" / name.removeprefix("builtin:")
        name = str(bundled)
    rounds: list[dict[str, Run]] = []
    with tempfile.TemporaryDirectory() as folder:
        sizes = growth(
            *(arguments.sizes, name, Path(folder)),
            rounds=arguments.size_rounds,
            with_encoder=arguments.encoder,
        )
        data = Path(folder) / "rows.jsonl"
        write_rows(data, arguments.megabytes)
        for number in range(arguments.rounds):
            cache, theirs = Path(folder) / f"cache-{number}", Path(folder) / f"guide-{number}"
            found = {OURS: prepare(data, name, cache)}
            if not arguments.alone:
                ids = str(Path(folder) / "ids.npy") if number == 0 else ""
                found[GUIDE] = guide(data, name, ids, theirs)
                if ids:
                    assert np.array_equal(np.load(ids), ids_of(cache))
            rounds.append(found)
    results = {
        "megabytes": arguments.megabytes,
        "rounds": [{key: one._asdict() for key, one in each.items()} for each in rounds],
        "medians": medians(rounds),
    }
    if not arguments.alone:
        results["guide / nextfill"] = paired_ratio(rounds, GUIDE, OURS)
        extrapolated(sizes, results["medians"][GUIDE]["seconds"], arguments.megabytes)
    if sizes:
        results["sizes"] = sizes
    record(arguments.name, results, arguments.out)


if __name__ == "__main__":
    main()
