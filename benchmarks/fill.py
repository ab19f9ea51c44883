"""Seconds of filling blanks, beside transformers' fill-mask pipeline at its best batch, in turn.

    python benchmarks/fill.py [--sentences 1000] [--rounds 3] [--batches 1 8 32] [--out FOLDER]

The model has DistilRoBERTa's shape and random weights; the sentences are of Python's documentation,
one word of each blank. All ways are in one process, one after the other in each round; loading is
not counted. In a first round the pipeline's batch is chosen, and answers in float32 are compared.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from measurement import record
from transformers import AutoTokenizer, RobertaConfig, RobertaForMaskedLM, pipeline

from nextfill.config import FillConfig, ModelConfig
from nextfill.filling.fill import open_filler
from nextfill.generation.prompts import name_prompts

Way = Callable[[list[str]], Any]


def save_model(folder: Path, tokenizer: str) -> None:
    """Save a model of DistilRoBERTa's shape whose weights are random."""
    torch.manual_seed(0)
    config = RobertaConfig(
        vocab_size=50265, num_hidden_layers=6, max_position_embeddings=514, type_vocab_size=1
    )
    RobertaForMaskedLM(config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(tokenizer).save_pretrained(folder)


def sentences(count: int, mask: str) -> list[str]:
    """Return sentences of 8 to 40 words, one of them the mask."""
    from pydoc_data.topics import topics

    text = " ".join(" ".join(topics[name].split()) for name in sorted(topics))
    found = []
    for sentence in re.split(r"(?<=[.!?]) ", text):
        words = sentence.replace("_", " ").split()
        if 8 <= len(words) <= 40:
            words[len(words) // 2] = mask
            found.append(" ".join(words))
    return [found[number % len(found)] for number in range(count)]


def ours(folder: Path, precision: Any) -> Way:
    filler = open_filler(FillConfig(model=ModelConfig(name=str(folder)), precision=precision))
    return lambda texts: [filled.plain for filled in filler.fill(name_prompts(texts))]


def theirs(folder: Path, batch: int) -> Way:
    made = pipeline("fill-mask", model=str(folder), device="cpu", top_k=5)
    return lambda texts: made(texts, batch_size=batch)


def timed(way: Way, texts: list[str]) -> tuple[dict[str, float], Any]:
    begun, used = time.perf_counter(), sum(os.times()[:2])
    answers = way(texts)
    seconds = time.perf_counter() - begun
    return {"seconds": seconds, "processor_s": sum(os.times()[:2]) - used}, answers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sentences", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    data = os.environ.get("NEXTFILL_TEST_DATA")
    roberta = f"{data}/tokenizers/roberta" if data else "distilroberta-base"
    parser.add_argument("--tokenizer", default=roberta, help="one of RoBERTa's size")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "distilroberta-shape"
        save_model(folder, arguments.tokenizer)
        ways = {"nextfill": ours(folder, "fp32"), "nextfill, bf16": ours(folder, "bf16")}
        texts = sentences(arguments.sentences, "<mask>")
        some = texts[: max(64, len(texts) // 10)]
        by_batch = {batch: theirs(folder, batch) for batch in arguments.batches}
        tried = {batch: timed(way, some)[0]["seconds"] for batch, way in by_batch.items()}
        best = min(tried, key=lambda batch: tried[batch])
        ways["pipeline"] = by_batch[best]
        answers = {name: timed(way, some)[1] for name, way in ways.items()}
        pairs = zip(answers["nextfill"], answers["pipeline"], strict=True)
        same = sum(one[0]["token"] == other[0]["token"] for one, other in pairs)
        rounds = [
            {name: timed(way, texts)[0] for name, way in ways.items()}
            for _ in range(arguments.rounds)
        ]
    results: dict[str, Any] = {
        "sentences": len(texts),
        "threads": arguments.threads,
        "pipeline's batch": best,
        "same first answers": f"{same} of {len(some)}",
    }
    for name in ways:
        results[name] = {
            "seconds": statistics.median(one[name]["seconds"] for one in rounds),
            "times the pipeline": statistics.median(
                one["pipeline"]["seconds"] / one[name]["seconds"] for one in rounds
            ),
            "times the pipeline, of processors": statistics.median(
                one["pipeline"]["processor_s"] / one[name]["processor_s"] for one in rounds
            ),
        }
    record("fill", results, arguments.out)


if __name__ == "__main__":
    main()
