"""One gigabyte of text in which hardly a word comes twice is prepared within one gigabyte.

Such text is the worst for an encoder that remembers words. Takes about two minutes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

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


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in kilobytes on Linux alone")
def test_a_gigabyte_within_a_gigabyte(test_data: Path, tmp_path: Path) -> None:
    data = tmp_path / "unique.jsonl"
    write_unique_text(data)
    command = [sys.executable, "-m", "nextfill.cli", "prepare", "--json", "--quiet"]
    command += ["--data", str(data), "--tokenizer", str(test_data / "tokenizers" / "gpt2")]
    command += ["--cache-dir", str(tmp_path / "cache")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        result = json.load(process.stdout)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    peak_bytes = usage.ru_maxrss * 1024
    print(f"peak {peak_bytes / 1e6:.0f} MB, {usage.ru_utime + usage.ru_stime:.0f} s of CPU time")
    assert process.returncode == 0
    assert result["ledger"]["bytes"] == BYTES
    assert result["ledger"]["documents"] == BYTES // DOCUMENT
    assert peak_bytes <= 10**9
