"""What a killed process left goes at the next chance, and what a living one makes stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nextfill.api.cache import prune_cache
from nextfill.core.locks import MACHINE, hold_folder
from nextfill.data.store.eviction import is_left, sweep

PREPARE = """
import sys, time
from pathlib import Path
from tokenizers import Tokenizer, models, pre_tokenizers
from nextfill.data.document import Document, ReadCounts
from nextfill.data.store.store_cache import open_or_write

words = Tokenizer(models.WordLevel({w: i for i, w in enumerate("?abc")}, "?"))
words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()

def documents():
    for number in range(20_000):
        yield Document("a b", number)
    print("halfway", flush=True)
    time.sleep(600)

open_or_write(Path(sys.argv[1]), {}, lambda: (documents(), ReadCounts()), words)
"""


def aged(path: Path, seconds: float) -> Path:
    then = time.time() - seconds
    os.utime(path, (then, then))
    return path


def test_an_unfinished_store_goes_once_its_process_is_gone(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PREPARE, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "halfway\n"
        [folder] = (tmp_path / "stores").iterdir()
        for age_s in (0, 3600, 1e6):  # a slow reader may take days over a shard
            sweep(tmp_path)
            assert not is_left(aged(folder, age_s))
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert is_left(aged(folder, 3600))
    assert not is_left(aged(folder, 0))  # one that was just made may not be held yet
    sweep(tmp_path)
    assert folder.exists()
    prune_cache(cache_dir=str(tmp_path), dry_run=True)
    assert aged(folder, 3600).exists()
    [entry] = prune_cache(cache_dir=str(tmp_path)).removed
    assert entry.path == folder
    assert not folder.exists()


@pytest.mark.parametrize("kind", ["damaged", "removed"])
def test_what_was_put_aside_stays_a_day(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "stores" / f"k.tmp-{kind}-1-1"
    folder.mkdir(parents=True)
    sweep(tmp_path)
    assert aged(folder, 3600).exists()
    sweep(tmp_path)
    assert aged(folder, 25 * 3600).exists()
    sweep(tmp_path)
    assert not folder.exists()


@pytest.mark.parametrize(
    "place", ["inputs", "digests", "tokenizers", "stores/k", "stores/k/shard-00000"]
)
def test_files_beside_their_places_go_after_a_day(tmp_path: Path, place: str) -> None:
    folder = tmp_path / place
    folder.mkdir(parents=True)
    (folder / "whole.json").touch()
    left, fresh = folder / ".a.json.1-1.tmp", folder / ".b.json.1-1.tmp"
    for file in (left, fresh, folder / "whole.json"):
        file.touch()
    aged(left, 25 * 3600)
    aged(folder / "whole.json", 25 * 3600)
    sweep(tmp_path)
    assert sorted(file.name for file in folder.iterdir() if file.is_file()) == [
        fresh.name,
        "whole.json",
    ]


def test_a_folder_that_is_held_is_seen_by_this_process_too(tmp_path: Path) -> None:
    folder = tmp_path / f"k.tmp-1-1-{MACHINE}"
    folder.mkdir()
    held = hold_folder(folder)
    assert not is_left(aged(folder, 1e6))
    os.close(held)
    assert is_left(folder)


def test_what_another_machine_makes_is_left_for_a_day(tmp_path: Path) -> None:
    """Its locks may not be seen here."""
    folder = tmp_path / "k.tmp-1-1-0123abcd"
    folder.mkdir()
    assert not is_left(aged(folder, 3600))
    assert is_left(aged(folder, 25 * 3600))
