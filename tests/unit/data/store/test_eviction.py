"""What a killed process left goes at the next chance, and what a living one makes stays."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

import nextfill
from nextfill.api.cache import prune_cache
from nextfill.core.cache_amounts import parse_size
from nextfill.core.errors import ConfigError
from nextfill.core.locks import MACHINE, _used, hold_folder, keep, unused
from nextfill.data.document import Document, ReadCounts
from nextfill.data.records.python_data.input_files import write_live
from nextfill.data.store.cache_entries import entries
from nextfill.data.store.eviction import is_abandoned, limit_bytes, sweep
from nextfill.data.store.store_cache import open_or_write

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
            assert not is_abandoned(aged(folder, age_s))
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert is_abandoned(aged(folder, 3600))
    assert not is_abandoned(aged(folder, 0))  # one that was just made may not be held yet
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
    assert not is_abandoned(aged(folder, 1e6))
    os.close(held)
    assert is_abandoned(folder)


def test_what_another_machine_makes_is_left_for_a_day(tmp_path: Path) -> None:
    """Its locks may not be seen here."""
    folder = tmp_path / "k.tmp-1-1-0123abcd"
    folder.mkdir()
    assert not is_abandoned(aged(folder, 3600))
    assert is_abandoned(aged(folder, 25 * 3600))


WORDS = Tokenizer(models.WordLevel({w: i for i, w in enumerate("?abc")}, "?"))
WORDS.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
DAY_S = 86400.0

OPEN = """
import sys
from pathlib import Path
from nextfill.core.locks import keep
assert keep(Path(sys.argv[1]))
print("kept", flush=True)
sys.stdin.read()
"""


def make(cache: Path, name: str, age_s: float, words: int = 1000) -> Path:
    """Make a store that was last used so long ago, and let go of it."""

    def read() -> tuple[Iterator[Document], ReadCounts]:
        return iter([Document("a " * words, 0)]), ReadCounts(1, 1)

    store, _ = open_or_write(cache, {"name": name}, read, WORDS, name=name)
    os.close(_used.pop(store.path))
    then = time.time() - age_s
    os.utime(store.path / "meta.json", (then, then))
    return store.path


@pytest.fixture
def in_use(tmp_path: Path) -> Iterator[Path]:
    """A store that another process uses."""
    path = make(tmp_path, "in use", 90 * DAY_S)
    command = [sys.executable, "-c", OPEN, str(path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "kept\n"
        yield path
        other.kill()


def test_a_listing_names_what_there_is(tmp_path):
    old, new = make(tmp_path, "old.txt", 40 * DAY_S), make(tmp_path, "new.txt", DAY_S)
    given = write_live(["one", "two"], tmp_path)
    (tmp_path / "stores" / "k.tmp-x").mkdir()
    listing = nextfill.list_cache(cache_dir=tmp_path)
    assert {entry.path: entry.kind for entry in listing.entries} == {
        old: "tokens",
        new: "tokens",
        given: "input",
        tmp_path / "stores" / "k.tmp-x": "unfinished",
    }
    names = [entry.name for entry in listing.entries if entry.kind != "unfinished"]
    assert names == ["2 texts from Python", "new.txt", "old.txt"]  # the last used first
    of_old = listing.entries[-1]
    assert (of_old.documents, of_old.tokens) == (1, 1000)
    files = [path for path in (tmp_path / "stores").rglob("*") if path.is_file()]
    assert listing.size_bytes == sum(f.stat().st_size for f in [*files, given])


def test_using_a_store_makes_it_young(tmp_path):
    path = make(tmp_path, "old.txt", 40 * DAY_S)
    assert make(tmp_path, "old.txt", 0) == path
    [entry] = entries(tmp_path)
    assert time.time() - entry.used_s < 60


def test_pruning_by_age_spares_what_is_in_use_and_what_cannot_be_made_again(tmp_path, in_use):
    old, new = make(tmp_path, "old.txt", 40 * DAY_S), make(tmp_path, "new.txt", DAY_S)
    given = write_live(["one", "two"], tmp_path)
    os.utime(given, (0, 0))
    would = nextfill.prune_cache(cache_dir=tmp_path, dry_run=True)
    assert [entry.path for entry in would.removed] == [old]
    assert [entry.path for entry in would.in_use] == [in_use]
    assert old.exists()
    done = nextfill.prune_cache(cache_dir=tmp_path)
    assert [entry.path for entry in done.removed] == [old]
    assert [entry.path for entry in done.in_use] == [in_use]
    assert (old.exists(), new.exists(), in_use.exists(), given.exists()) == (
        False,
        True,
        True,
        True,
    )
    assert done.size_bytes == nextfill.list_cache(cache_dir=tmp_path).size_bytes
    nextfill.prune_cache(cache_dir=tmp_path, inputs=True)
    assert not given.exists()


def test_pruning_by_size_removes_what_was_unused_for_longest(tmp_path):
    paths = [make(tmp_path, f"{age}.txt", age * DAY_S) for age in (3, 2, 1)]
    each = entries(tmp_path)[0].size_bytes
    done = nextfill.prune_cache(cache_dir=tmp_path, max_size=f"{2 * each}")
    assert [entry.path for entry in done.removed] == paths[:1]
    assert nextfill.prune_cache(cache_dir=tmp_path, max_size=f"{2 * each}").removed == ()


def test_unfinished_work_goes_after_a_day(tmp_path):
    fresh, stale = (tmp_path / "stores" / f"k.tmp-{name}" for name in ("fresh", "stale"))
    for folder in (fresh, stale):
        folder.mkdir(parents=True)
    os.utime(stale, (0, 0))
    nextfill.prune_cache(cache_dir=tmp_path, older_than="0s")
    assert (fresh.exists(), stale.exists()) == (True, False)


def test_a_new_store_pushes_the_oldest_out_and_says_so(tmp_path, monkeypatch, caplog, in_use):
    old, newer = make(tmp_path, "old.txt", 2 * DAY_S), make(tmp_path, "newer.txt", DAY_S)
    each = entries(tmp_path)[0].size_bytes
    monkeypatch.setenv("NEXTFILL_CACHE_LIMIT", f"{3 * each}")
    with caplog.at_level(logging.WARNING, "nextfill"):
        newest = make(tmp_path, "a.txt", 0)
    assert (old.exists(), newer.exists(), newest.exists()) == (False, True, True)
    assert in_use.exists()  # it is the oldest, but in use, so the next one goes
    assert "removed 1 token stores unused for longest" in caplog.text


def test_a_store_stays_though_it_is_over_the_limit_by_itself(tmp_path, monkeypatch):
    monkeypatch.setenv("NEXTFILL_CACHE_LIMIT", "1")
    assert make(tmp_path, "a.txt", 0).exists()


def test_what_this_process_uses_is_in_use(tmp_path):
    path = make(tmp_path, "a.txt", 90 * DAY_S)
    assert keep(path)
    assert keep(path)  # once more costs nothing
    with unused(path) as free:
        assert not free
    [entry] = nextfill.prune_cache(cache_dir=tmp_path, older_than="1d").in_use
    assert entry.path == path


def test_a_store_that_is_removed_while_it_is_awaited_is_gone(tmp_path):
    path = make(tmp_path, "a.txt", 0)
    with unused(path) as free:
        assert free
        (path / "meta.json").unlink()
    assert not keep(path)


def test_sizes_and_ages_that_are_none(tmp_path, monkeypatch):
    for keywords, found in [
        ({"older_than": "soon"}, "older_than: found 'soon'; expected an age such as 12h"),
        ({"max_size": "big"}, "max_size: found 'big'; expected a size such as 500MB"),
        ({"max_size": "-1"}, "max_size: found"),
    ]:
        with pytest.raises(ConfigError, match=found):
            nextfill.prune_cache(cache_dir=tmp_path, **keywords)
    monkeypatch.setenv("NEXTFILL_CACHE_LIMIT", "much")
    with pytest.raises(ConfigError, match="NEXTFILL_CACHE_LIMIT: found 'much'"):
        nextfill.list_cache(cache_dir=tmp_path)


def test_the_limit_is_a_share_of_the_disk_unless_the_environment_names_one(tmp_path, monkeypatch):
    monkeypatch.delenv("NEXTFILL_CACHE_LIMIT", raising=False)
    stat = os.statvfs(tmp_path)
    assert limit_bytes(tmp_path / "not" / "yet") == pytest.approx(
        stat.f_blocks * stat.f_frsize / 4, rel=1e-3
    )
    monkeypatch.setenv("NEXTFILL_CACHE_LIMIT", "20GB")
    assert limit_bytes(tmp_path) == 20 * 10**9


@pytest.mark.parametrize(
    ("text", "size"), [("7", 7), ("1kb", 1000), ("2.5 MB", 2_500_000), ("1T", 10**12)]
)
def test_sizes(text, size):
    assert parse_size(text, "x") == size
