"""Seconds of scoring a text in float32, beside lm-evaluation-harness at its best batch, in turn.

    python benchmarks/evaluation.py [--megabytes 1] [--rounds 3] [--harness PYTHON] [--out FOLDER]

The model has DistilGPT2's shape and random weights; the text is of Python's documentation, a
document at a time, each from a start token in windows of 1,024, as the harness's rolling windows
have them. The harness is no dependency: ``--harness`` is the Python of an environment that has it
(`benchmarks/lm_eval/compare.py` says how to make one), and without it Nextfill is measured alone,
and said to be. Each run is a process of its own that tells its seconds of scoring, so that imports
and loading are not counted. The sums of nats are compared.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from measurement import record

OURS, HARNESS = "nextfill evaluate", "lm-evaluation-harness"


def save_model(folder: Path) -> None:
    """Save a model of DistilGPT2's shape whose weights are random."""
    import torch
    from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel

    import nextfill

    shipped = Path(nextfill.__file__).parent / "bundled" / "base-causal"
    tokenizer = AutoTokenizer.from_pretrained(shipped)
    special = {f"{n}_token_id": getattr(tokenizer, f"{n}_token_id") for n in ("bos", "eos", "pad")}
    torch.manual_seed(0)
    GPT2LMHeadModel(GPT2Config(n_layer=6, **special)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def write_texts(path: Path, megabytes: float) -> None:
    """Write documents, one a line."""
    import nextfill

    size = 0
    with path.open("w", encoding="utf-8") as file:
        for row in nextfill.read_records("builtin:stdlib-docs"):
            for text in row["answers"]["text"]:
                if size >= megabytes * 1e6:
                    return
                size += len(text.encode())
                file.write(json.dumps({"text": text}) + "\n")


def ours(folder: Path, _batch: int) -> dict[str, float]:
    """Score with Nextfill."""
    import nextfill

    warm_up(folder)
    begun, used = time.perf_counter(), sum(os.times()[:2])
    result = nextfill.evaluate(
        str(folder / "model"),
        data=str(folder / "texts.jsonl"),
        precision="fp32",
        block_size=1024,
        quiet=True,
    )
    return {"nats": result.nats, **since(begun, used)}


def warm_up(folder: Path) -> None:
    """Import and touch what any run does."""
    from transformers import AutoModelForCausalLM

    AutoModelForCausalLM.from_pretrained(folder / "model")


def since(begun: float, used: float) -> dict[str, float]:
    """Return the seconds, and those of processors, that a run has taken."""
    seconds = time.perf_counter() - begun
    return {"seconds": seconds, "processor_s": sum(os.times()[:2]) - used}


def harness(folder: Path, batch: int) -> dict[str, float]:
    """Score with the harness."""
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    lines = (folder / "texts.jsonl").read_text("utf-8").splitlines()
    texts = [json.loads(line)["text"] for line in lines]
    begun, used = time.perf_counter(), sum(os.times()[:2])
    model: Any = HFLM(
        str(folder / "model"),
        device="cpu",
        dtype="float32",
        batch_size=batch,
        max_length=1024,
        add_bos_token=False,
    )
    requests = [
        Instance("loglikelihood_rolling", {}, (text,), number) for number, text in enumerate(texts)
    ]
    found = model.loglikelihood_rolling(requests, disable_tqdm=True)
    return {"nats": -sum(found), **since(begun, used)}


WORKERS = {OURS: ours, HARNESS: harness}


def measured(python: str, name: str, folder: Path, batch: int) -> dict[str, float]:
    """Run a worker in a process of its own and return its figures."""
    line = [python, "-W", "ignore", __file__, "--worker", name, "--folder", str(folder)]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "NEXTFILL_CACHE": str(folder / "cache")}
    subprocess.run([*line, "--batch", str(batch)], check=True, env=environment, stdout=sys.stderr)
    figures: dict[str, float] = json.loads((folder / "figures.json").read_text("utf-8"))
    print(f"{name}, batch {batch}: {figures}", file=sys.stderr, flush=True)
    return figures


def best_batch(python: str, folder: Path, batches: list[int]) -> int:
    """Return the batch at which the harness is quickest on a tenth of the text."""
    part = folder / "part"
    part.mkdir()
    (part / "model").symlink_to(folder / "model")
    lines = (folder / "texts.jsonl").read_text("utf-8").splitlines(keepends=True)
    (part / "texts.jsonl").write_text("".join(lines[::10]), "utf-8")
    seconds = {one: measured(python, HARNESS, part, one)["seconds"] for one in batches}
    return min(seconds, key=seconds.__getitem__)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--megabytes", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--harness", metavar="PYTHON", help="of an environment that has lm_eval")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--batch", type=int, default=8, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        figures = WORKERS[given.worker](given.folder, given.batch)
        (given.folder / "figures.json").write_text(json.dumps(figures), "utf-8")
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        save_model(folder / "model")
        write_texts(folder / "texts.jsonl", given.megabytes)
        batch = best_batch(given.harness, folder, given.batches) if given.harness else None
        rounds = []
        for _ in range(given.rounds):
            one = {OURS: measured(sys.executable, OURS, folder, 8)}
            if batch:
                one[HARNESS] = measured(given.harness, HARNESS, folder, batch)
            rounds.append(one)
    results: dict[str, Any] = {"megabytes": given.megabytes, "rounds": rounds}
    if batch is None:
        sys.stderr.write("lm-evaluation-harness is left out: give --harness PYTHON\n")
    else:
        nats = [rounds[0][which]["nats"] for which in (OURS, HARNESS)]
        results |= {
            "harness_batch": batch,
            "difference of nats": abs(nats[0] - nats[1]) / nats[1],
            "harness / nextfill": statistics.median(
                one[HARNESS]["seconds"] / one[OURS]["seconds"] for one in rounds
            ),
        }
    record("evaluation", results, given.out)


if __name__ == "__main__":
    main()
