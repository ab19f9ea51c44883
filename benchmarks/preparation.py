"""Seconds and memory of preparing a text, beside the public guide's way, in turn.

    python benchmarks/preparation.py [--megabytes 50] [--rounds 3] [--tokenizer NAME] [--out FOLDER]
    python benchmarks/preparation.py --sizes 1 10 100 1000 --alone --out benchmarks/results

The text is unique: sentences of the documentation of Python, of which a fifth of the words are
others, so that no cache of words or documents is of use. Each run is a process of its own, with
empty caches. The ids of the first round are compared, document by document. ``--sizes`` prepares
texts of further sizes once each, and tells the seconds, and the memory, for each megabyte of text.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from measurement import Run, medians, paired_ratio, record, run

OURS, GUIDE = "nextfill prepare", "the guide, 2 processes"


def write_rows(path: Path, megabytes: float, seed: int = 0) -> None:
    """Write question and answer records of unique text as JSON lines."""
    import nextfill

    rows = nextfill.read_records("builtin:stdlib-docs")
    found = re.compile(r"(?<=[.!?])\s+")
    sentences = [s for row in rows for t in row["answers"]["text"] for s in found.split(t) if s]
    words = [word for one in sentences[:20000] for word in one.split()]
    chosen = random.Random(seed)

    def text() -> str:
        parts = []
        for _ in range(chosen.randint(2, 12)):
            own = chosen.choice(sentences).split()
            parts.append(
                " ".join(chosen.choice(words) if chosen.random() < 0.2 else w for w in own)
            )
        return " ".join(parts)

    written = number = 0
    with path.open("w", encoding="utf-8") as file:
        while written < megabytes * 1e6:
            texts = [text() for _ in range(chosen.randint(1, 4))]
            row = {"q_id": f"q{number}", "title": text()[:80], "answers": {"text": texts}}
            row["answers"]["score"] = [chosen.randint(1, 90) for _ in texts]
            file.write(json.dumps(row) + "\n")
            written += sum(map(len, texts))
            number += 1


def prepare(data: Path, tokenizer: str, cache: Path) -> Run:
    line = [sys.executable, "-m", "nextfill", "prepare", "--data", str(data)]
    line += ["--text-field", "answers.text", "--tokenizer", tokenizer, "--block-size", "128"]
    return run([*line, "--cache-dir", str(cache), "--quiet"])


def growth(sizes: Sequence[float], tokenizer: str, folder: Path) -> list[dict[str, float]]:
    """Prepare texts of these sizes in megabytes, the smallest first."""
    found: list[dict[str, float]] = []
    for size in sorted(sizes):
        data, cache = folder / "sized.jsonl", folder / f"cache-of-{size:g}"
        write_rows(data, size)
        used = prepare(data, tokenizer, cache)
        shutil.rmtree(cache)
        found.append({"megabytes": size, **used._asdict()})
        print(found[-1], file=sys.stderr)
    return found


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
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    name = arguments.tokenizer
    if name.startswith("builtin:"):
        import nextfill

        bundled = Path(nextfill.__file__).parent / "bundled" / name.removeprefix("builtin:")
        name = str(bundled)
    rounds: list[dict[str, Run]] = []
    with tempfile.TemporaryDirectory() as folder:
        sizes = growth(arguments.sizes, name, Path(folder))
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
    if sizes:
        results["sizes"] = sizes
    if not arguments.alone:
        results["guide / nextfill"] = paired_ratio(rounds, GUIDE, OURS)
    record("preparation", results, arguments.out)


if __name__ == "__main__":
    main()
