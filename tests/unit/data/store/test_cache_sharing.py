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
from nextfill.data.store.store_cache import open_or_write

words = Tokenizer(models.WordLevel({w: i for i, w in enumerate("?abc")}, "?"))
words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
reads, waits, signals = [], [], Path(sys.argv[2])

def read():
    reads.append(1)
    def documents():
        for number in range(200):
            if number == 100:
                (signals / "halfway").touch()
                wait_for("go on")
            yield Document("a b", number)
    return documents(), ReadCounts(200, 200)

def wait_for(name):
    while not (signals / name).exists():
        time.sleep(0.001)

def on_wait():
    waits.append(1)
    (signals / "go on").touch()

store, reused = open_or_write(Path(sys.argv[1]), {}, read, words, on_wait=on_wait)
print(json.dumps([str(store.path), store.num_tokens, reused, len(reads), len(waits)]))
"""


def command(tmp_path: Path) -> list[str]:
    return [sys.executable, "-c", PREPARE, str(tmp_path / "cache"), str(tmp_path)]


def test_two_at_once_read_once(tmp_path: Path) -> None:
    """Whichever comes first stops halfway until the other waits for it."""
    pair = [
        subprocess.Popen(command(tmp_path), stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    results = sorted(json.loads(process.communicate(timeout=120)[0]) for process in pair)
    assert [process.returncode for process in pair] == [0, 0]
    path = results[0][0]
    assert results == [[path, 400, False, 1, 0], [path, 400, True, 0, 1]]
    assert [found.name for found in (tmp_path / "cache" / "stores").iterdir()] == [Path(path).name]


def test_a_maker_that_is_killed_lets_go(tmp_path: Path) -> None:
    with subprocess.Popen(command(tmp_path), stdout=subprocess.DEVNULL) as first:
        while not (tmp_path / "halfway").exists():
            assert first.poll() is None
            time.sleep(0.005)
        first.kill()
    assert list((tmp_path / "cache").glob("stores/*.tmp-*"))
    (tmp_path / "go on").touch()
    done = subprocess.run(
        command(tmp_path), check=True, capture_output=True, text=True, timeout=120
    )
    assert json.loads(done.stdout)[1:] == [400, False, 1, 0]
