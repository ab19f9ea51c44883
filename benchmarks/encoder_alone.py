"""The encoder of `nextfill prepare` alone: gigatoken on texts that are in memory already.

    python benchmarks/encoder_alone.py DATA.jsonl TOKENIZER

Only its own calls are timed, on batches of four million characters as preparation has them, on as
many threads as there are processors. Nothing is made of the ids. The seconds and the tokens are
printed as JSON.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import gigatoken
import orjson
from tokenizers import Tokenizer

BATCH_CHARACTERS = 4 << 20


def batches(data: str) -> Iterator[list[str]]:
    batch: list[str] = []
    characters = 0
    with Path(data).open("rb") as file:
        for line in file:
            batch.append(" ".join(orjson.loads(line)["answers"]["text"]))
            characters += len(batch[-1])
            if characters >= BATCH_CHARACTERS:
                yield batch
                batch, characters = [], 0
    if batch:
        yield batch


def main(data: str, name: str) -> None:
    backend = Tokenizer.from_file(str(Path(name) / "tokenizer.json"))
    encoder = gigatoken.Tokenizer.from_json(backend.to_str())
    seconds = processor_s = characters = 0.0
    for batch in batches(data):
        begun, used = time.perf_counter(), time.process_time()
        encoder.encode_batch(batch)
        seconds += time.perf_counter() - begun
        processor_s += time.process_time() - used
        characters += sum(map(len, batch))
    threads = int(os.environ.get("RAYON_NUM_THREADS") or 0) or len(os.sched_getaffinity(0))
    found = {"seconds": seconds, "processor_s": processor_s, "threads": threads}
    print(json.dumps({**found, "megabytes": characters / 1e6}))


if __name__ == "__main__":
    main(*sys.argv[1:3])
