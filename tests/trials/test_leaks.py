"""A hundred megabytes are searched for leaks in two gigabytes of memory, in time that is linear."""

from __future__ import annotations

import json
import random
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from nextfill.data.contamination.leaks import find_leaks
from nextfill.data.parts import Part
from nextfill.data.store.token_store import TokenStore
from tests.trials.memory import run_measured

pytestmark = pytest.mark.trial

BYTES = 100_000_000
WORDS = 150
MOST_MEMORY = 2 * 10**9
PLANTED = 50
"""Of each kind: the same text, nearly the same, and one that quotes 30 words of another."""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_hundred_megabytes(test_data: Path, tmp_path: Path) -> None:
    rng = random.Random(0)
    source = Path(test_data, "wikitext2", "train.txt").read_text("utf-8")
    vocabulary = source.split()[:60_000]

    def text() -> list[str]:
        return rng.choices(vocabulary, k=WORDS)

    written, planted = 0, []
    with (tmp_path / "train.jsonl").open("w", encoding="utf-8") as file:
        while written < 0.9 * BYTES:
            words = text()
            line = json.dumps({"text": " ".join(words)}) + "\n"
            written += file.write(line)
            if len(planted) < 3 * PLANTED and rng.random() < 0.01:
                planted.append(words)
    exact, near, quoted = (planted[at::3] for at in range(3))
    held_out = [list(words) for words in exact]
    for words in near:
        changed = list(words)
        for place in rng.sample(range(WORDS), 3):
            changed[place] = "otherwise"
        held_out.append(changed)
    held_out += [text()[:100] + words[20:50] + text()[:70] for words in quoted]
    with (tmp_path / "eval.jsonl").open("w", encoding="utf-8") as file:
        while written < BYTES or held_out:
            words = held_out.pop() if held_out else text()
            written += file.write(json.dumps({"text": " ".join(words)}) + "\n")
    cache = tmp_path / "cache"
    words = ["--data", tmp_path / "train.jsonl", "--eval-data", tmp_path / "eval.jsonl"]
    words += ["--tokenizer", test_data / "tokenizers" / "gpt2", "--cache-dir", cache]
    result, peak = run_measured("prepare", *map(str, words))
    ledger = result["ledger"]
    assert ledger["bytes"] > 0.9 * BYTES
    # The same texts are not trained on in any case.
    assert ledger["leaks"]["exact"] == 0
    assert ledger["dropped"]["also held out"] > PLANTED * WORDS
    assert ledger["leaks"]["near"] == PLANTED
    train, rest = (
        Part(store, np.arange(store.num_documents, dtype=np.int64))
        for store in (TokenStore.open(Path(result[key])) for key in ("store", "held_out_store"))
    )
    gpt2 = Tokenizer.from_file(str(test_data / "tokenizers" / "gpt2" / "tokenizer.json"))
    taken = []
    for share in (4, 1):
        some = Part(train.store, train.documents[: len(train.documents) // share])
        began = time.perf_counter()
        found = find_leaks(some, rest, gpt2)
        taken.append(time.perf_counter() - began)
    assert (found.exact, found.near) == (PLANTED, PLANTED)
    print(
        f"peak {peak / 1e6:.0f} MB; {train.num_tokens:,} tokens against {rest.num_tokens:,} in "
        f"{taken[1]:.1f} s, a quarter of them in {taken[0]:.1f} s"
    )
    assert peak <= MOST_MEMORY
    assert taken[1] <= 6 * taken[0]
