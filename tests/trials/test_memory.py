"""One gigabyte of text in which hardly a word comes twice is prepared within one gigabyte.

Such text is the worst for an encoder that remembers words. Takes about a minute.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

DATA = os.environ.get("NEXTFILL_TEST_DATA")

PREPARE = """
import json, sys, time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import transformers

from nextfill.data.cache import open_or_write
from nextfill.data.document import Document, ReadCounts
from nextfill.data.loader import read_blocks
from nextfill.data.order import block_order
from nextfill.data.pack import Frame, plan_blocks
from nextfill.data.split import held_out

LETTERS = np.frombuffer(b"abcdefghijklmnopqrstuvwxyz    ", np.uint8)

def unique_text() -> Iterator[Document]:
    random = np.random.default_rng(0)
    for number in range(int(sys.argv[3]) // 2000):
        yield Document(LETTERS[random.integers(0, 30, 2000)].tobytes().decode(), number)

def peak_bytes() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))

tokenizer = transformers.AutoTokenizer.from_pretrained(sys.argv[1])
began = time.perf_counter()
store, _ = open_or_write(
    Path(sys.argv[2]), {}, lambda: (unique_text(), ReadCounts()), tokenizer
)
elapsed_s = time.perf_counter() - began
train = np.flatnonzero(~held_out(store.documents, 0.1, 0))
frame = Frame(suffix=(50256,))
plan = plan_blocks(store, train, policy="best-fit", block_size=128, frame=frame)
order = block_order(plan.shard, 0, 0)
prepared = peak_bytes()
for first in range(0, 8000, 8):
    read_blocks(store, plan, order[first : first + 8], pad_id=50256, isolate=True)
print(json.dumps({
    "bytes": store.meta["totals"]["bytes"],
    "engine": store.meta["engine"],
    "shards": store.num_shards,
    "blocks": plan.num_blocks,
    "elapsed_s": elapsed_s,
    "peak_bytes": prepared,
    # Pages of the maps count here, though the system takes them back at will.
    "peak_bytes_after_reading": peak_bytes(),
}))
"""


@pytest.mark.trial
@pytest.mark.skipif(not DATA, reason="NEXTFILL_TEST_DATA names no folder with tokenizers/gpt2")
@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from /proc")
def test_a_gigabyte_within_a_gigabyte(tmp_path: Path) -> None:
    tokenizer = Path(DATA or "") / "tokenizers" / "gpt2"
    done = subprocess.run(
        [sys.executable, "-c", PREPARE, str(tokenizer), str(tmp_path), str(10**9)],
        capture_output=True,
        text=True,
        check=False,
        timeout=1200,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    print(result)  # the figures, under -s
    assert result["bytes"] == 10**9
    assert result["engine"] == "gigatoken"
    assert result["shards"] > 10
    assert result["peak_bytes"] <= 10**9
