"""Two processes that prepare the same data at once share one store."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

PREPARE = """
import json, sys, time
from pathlib import Path
from tokenizers import Tokenizer, models, pre_tokenizers
from nextfill.data.document import Document, ReadCounts
from nextfill.data.tokens.cache import open_or_write

words = Tokenizer(models.WordLevel({w: i for i, w in enumerate("?abc")}, "?"))
words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
reads, waits = [], []

def read():
    reads.append(time.time())
    def documents():
        for number in range(200):
            time.sleep(0.002)
            yield Document("a b", number)
    return documents(), ReadCounts(200, 200)

while not Path(sys.argv[2]).exists():
    time.sleep(0.001)
store, reused = open_or_write(Path(sys.argv[1]), {}, read, words, on_wait=lambda: waits.append(1))
print(json.dumps([str(store.path), store.num_tokens, reused, len(reads), len(waits)]))
"""


def test_two_at_once_read_once(tmp_path: Path) -> None:
    go = tmp_path / "go"
    command = [sys.executable, "-c", PREPARE, str(tmp_path / "cache"), str(go)]
    pair = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    time.sleep(1)
    go.touch()
    results = sorted(json.loads(process.communicate(timeout=60)[0]) for process in pair)
    assert [process.returncode for process in pair] == [0, 0]
    path = results[0][0]
    assert results == [[path, 400, False, 1, 0], [path, 400, True, 0, 1]]
    assert [found.name for found in (tmp_path / "cache" / "stores").iterdir()] == [Path(path).name]


def test_a_maker_that_is_killed_lets_go(tmp_path: Path) -> None:
    go = tmp_path / "go"
    go.touch()
    command = [sys.executable, "-c", PREPARE, str(tmp_path / "cache"), str(go)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as first:
        while not list((tmp_path / "cache").glob("stores/*.tmp-*")):
            time.sleep(0.005)
        first.kill()
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    assert json.loads(done.stdout)[1:] == [400, False, 1, 0]
