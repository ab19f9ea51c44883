"""Tokens a second of generating, beside transformers' pipeline and CTranslate2, in turn.

    python benchmarks/generation.py [--new 100] [--rounds 5] [--batches 1 16] [--out FOLDER]

The model has DistilGPT2's shape and random weights; texts are drawn from the 50 likeliest tokens
and 0.95 of probability. Each way has a process of its own, which loads once and is asked in turn in
each round; loading is not counted. In one process CTranslate2's threads take PyTorch's from it.
CTranslate2 alone is left out, and said to be, where it is not installed.
"""

from __future__ import annotations

import argparse
import importlib.util
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from measurement import record
from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel, pipeline

from nextfill.config import GenerateConfig, GenerationConfig, ModelConfig
from nextfill.generation.prompts import name_prompts
from nextfill.generation.session import open_session

PIPELINE, ALONE = "transformers pipeline", "CTranslate2 alone, int8"
Way = Callable[[list[str]], Any]


def save_model(folder: Path, tokenizer: str) -> None:
    """Save a model of DistilGPT2's shape whose weights are random."""
    torch.manual_seed(0)
    GPT2LMHeadModel(GPT2Config(n_layer=6)).save_pretrained(folder)
    AutoTokenizer.from_pretrained(tokenizer).save_pretrained(folder)


def ours(folder: Path, new: int, batch: int, **settings: Any) -> Way:
    generation = GenerationConfig(
        max_new_tokens=new, min_new_tokens=new, top_k=50, top_p=0.95, generation_batch_size=batch
    )
    config = GenerateConfig(model=ModelConfig(name=str(folder)), generation=generation, **settings)
    session = open_session(config)
    return lambda prompts: list(session.texts(name_prompts(prompts), config))


def theirs(folder: Path, new: int, batch: int) -> Way:
    made = pipeline("text-generation", model=str(folder), device="cpu")
    made.tokenizer.pad_token_id = made.tokenizer.eos_token_id
    made.tokenizer.padding_side = "left"
    settings = {"do_sample": True, "top_k": 50, "top_p": 0.95, "batch_size": batch}
    lengths = {"max_new_tokens": new, "min_new_tokens": new}
    return lambda prompts: made(prompts, **settings, **lengths)


def ctranslate2_alone(folder: Path, new: int, batch: int) -> Way:
    import ctranslate2

    out = folder.with_name("ctranslate2-int8")
    if not out.is_dir():
        converter = ctranslate2.converters.TransformersConverter(str(folder))
        converter.convert(str(out), quantization="int8")
    generator = ctranslate2.Generator(
        str(out), inter_threads=1, intra_threads=torch.get_num_threads()
    )
    tokenizer = AutoTokenizer.from_pretrained(folder)

    def generate(prompts: list[str]) -> Any:
        starts = [tokenizer.convert_ids_to_tokens(tokenizer(one)["input_ids"]) for one in prompts]
        results = generator.generate_batch(
            starts,
            max_batch_size=batch,
            max_length=new,
            min_length=new,
            sampling_topk=50,
            sampling_topp=0.95,
            include_prompt_in_result=False,
        )
        return [tokenizer.decode(one.sequences_ids[0]) for one in results]

    return generate


class Process:
    """A process that opens a way once, and then generates as often as it is asked.

    Args:
        open_way: Makes the way, in that process.
        threads: Of PyTorch there.
    """

    def __init__(self, open_way: Callable[[], Way], threads: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(
            target=answer, args=(open_way, threads, theirs), daemon=True
        )
        self._process.start()
        theirs.close()
        self._connection.recv()  # before another process loads

    def seconds(self, prompts: list[str]) -> dict[str, float]:
        """Return the seconds, and those of processors, of continuing the prompts once."""
        self._connection.send(prompts)
        found: dict[str, float] = self._connection.recv()
        return found

    def end(self) -> None:
        """End the process."""
        self._connection.send(None)
        self._process.join()


def answer(open_way: Callable[[], Way], threads: int, connection: Connection) -> None:
    """Open a way, and generate with it for the prompts that come, until there are none."""
    torch.set_num_threads(threads)
    way = open_way()
    connection.send("ready")
    while (prompts := connection.recv()) is not None:
        begun, used = time.perf_counter(), sum(os.times()[:2])
        way(prompts)
        seconds = time.perf_counter() - begun
        connection.send({"seconds": seconds, "processor_s": sum(os.times()[:2]) - used})


def measure(
    ways: dict[str, Callable[[], Way]], prompts: list[str], rounds: int, threads: int
) -> list[dict[str, Any]]:
    """Return the seconds, and those of processors, of each way in each round but a first one."""
    processes = {name: Process(open_way, threads) for name, open_way in ways.items()}
    found = [
        {name: process.seconds(prompts) for name, process in processes.items()}
        for _ in range(rounds + 1)
    ]
    for process in processes.values():
        process.end()
    return found[1:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--new", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    data = os.environ.get("NEXTFILL_TEST_DATA")
    gpt2 = f"{data}/tokenizers/gpt2" if data else "distilgpt2"
    parser.add_argument("--tokenizer", default=gpt2, help="one of GPT-2's size")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    has_ctranslate2 = importlib.util.find_spec("ctranslate2") is not None
    if not has_ctranslate2:
        sys.stderr.write("CTranslate2 is not installed, and left out\n")
    results: dict[str, Any] = {"new_tokens": arguments.new, "threads": arguments.threads}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "distilgpt2-shape"
        save_model(folder, arguments.tokenizer)
        for batch in arguments.batches:
            new = arguments.new
            here = partial(ours, folder, new, batch)
            ways = {
                PIPELINE: partial(theirs, folder, new, batch),
                "nextfill": here,
                "nextfill, fp32": partial(here, precision="fp32"),
                "nextfill, int8": partial(here, weights="int8"),
            }
            if has_ctranslate2:
                ways[ALONE] = partial(ctranslate2_alone, folder, new, batch)
                converted = partial(here, engine="ctranslate2", cache_dir=place)
                ways["nextfill, ctranslate2 int8"] = partial(converted, weights="int8")
            prompts = [f"The {number} function returns" for number in range(batch)]
            rounds = measure(ways, prompts, arguments.rounds, arguments.threads)
            results[f"batch {batch}"] = figures(rounds, batch * new)
    record("generation", results, arguments.out)


def figures(rounds: list[dict[str, Any]], tokens: int) -> dict[str, Any]:
    """Return each way's median, and the medians of the ratios of each round."""

    def ratio(slow: str, fast: str, what: str) -> float:
        return statistics.median(one[slow][what] / one[fast][what] for one in rounds)

    found: dict[str, Any] = {}
    for name in rounds[0]:
        seconds = statistics.median(one[name]["seconds"] for one in rounds)
        found[name] = {
            "tokens_per_s": round(tokens / seconds, 1),
            "best_tokens_per_s": round(tokens / min(one[name]["seconds"] for one in rounds), 1),
            "times the pipeline": round(ratio(PIPELINE, name, "seconds"), 2),
            "times the pipeline, of processors": round(ratio(PIPELINE, name, "processor_s"), 2),
        }
        if ALONE in rounds[0]:
            found[name]["times CTranslate2 alone"] = round(ratio(ALONE, name, "seconds"), 2)
    return found


if __name__ == "__main__":
    main()
