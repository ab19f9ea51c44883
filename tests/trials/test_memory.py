"""One gigabyte of text in which hardly a word comes twice is prepared within one gigabyte.

Such text is the worst for an encoder that remembers words. Takes about two minutes.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from tests.trials.memory import run_measured

pytestmark = pytest.mark.trial

BYTES = 10**9
DOCUMENT = 2000
LETTERS = np.frombuffer(b"abcdefghijklmnopqrstuvwxyz    ", np.uint8)


def write_unique_text(path: Path) -> None:
    rng = np.random.default_rng(0)
    with path.open("wb") as file:
        for _ in range(BYTES // DOCUMENT):
            text = LETTERS[rng.integers(0, len(LETTERS), DOCUMENT)].tobytes()
            file.write(b'{"text": "' + text + b'"}\n')


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_gigabyte_within_a_gigabyte(test_data: Path, tmp_path: Path) -> None:
    data = tmp_path / "unique.jsonl"
    write_unique_text(data)
    words = ["--data", str(data), "--tokenizer", str(test_data / "tokenizers" / "gpt2")]
    result, peak_bytes = run_measured("prepare", *words, "--cache-dir", str(tmp_path / "cache"))
    print(f"peak {peak_bytes / 1e6:.0f} MB")
    assert result["ledger"]["bytes"] == BYTES
    assert result["ledger"]["documents"] == BYTES // DOCUMENT
    assert peak_bytes <= 10**9
