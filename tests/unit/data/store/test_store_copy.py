"""A store at an address is that of one machine; a copy has the shards that there is room for."""

from __future__ import annotations

import json
import logging
import pickle
import shutil
import subprocess
import sys
import time
from pathlib import Path

import fsspec
import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from nextfill.core.errors import DataError
from nextfill.data.document import Document, ReadCounts
from nextfill.data.store.cache_place import CachePlace
from nextfill.data.store.store_address import StoreAddress
from nextfill.data.store.store_cache import join_stores, open_or_write
from nextfill.data.store.store_copy import copy_of
from nextfill.data.store.store_integrity import ADDRESS, shard_name

WORDS = Tokenizer(models.WordLevel({w: i for i, w in enumerate("?abcdefg")}, "?"))
WORDS.pre_tokenizer = pre_tokenizers.WhitespaceSplit()

SHARDS = 8
SHARD_TOKENS = 5000


pytestmark = pytest.mark.usefixtures("no_call_is_left")


def documents(shards=SHARDS):
    rng = np.random.default_rng(3)
    for number in range(shards * 5):
        letters = rng.integers(0, 7, SHARD_TOKENS // 5)
        label = "even" if number % 2 == 0 else "odd"
        yield Document(" ".join("abcdefg"[one] for one in letters), number, columns={"is": label})


def make(place, shards=SHARDS, **options):
    def read():
        return documents(shards), ReadCounts(shards * 5, shards * 5)

    key = {"shards": shards} if shards != SHARDS else {}
    return open_or_write(place, key, read, WORDS, shard_tokens=SHARD_TOKENS, **options)


def unread():
    raise AssertionError("the text is read again")


def files_below(folder, without=(ADDRESS,)):
    found = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}
    ours = {k: p for k, p in found.items() if not Path(k).name.startswith("verified-")}
    return {k: p.read_bytes() for k, p in ours.items() if Path(k).name not in without}


def tokens_here(store):
    return [n for n in range(store.num_shards) if (store.folder(n) / "tokens.bin").exists()]


@pytest.fixture
def alone(tmp_path):
    """The store of one machine."""
    store, _ = make(tmp_path / "alone")
    return store


@pytest.fixture(params=["folder", "memory"])
def address(request, tmp_path):
    if request.param == "folder":
        yield StoreAddress(str(tmp_path / "shared" / "stores"))
    else:
        yield StoreAddress("memory://shared/stores")
        fsspec.filesystem("memory").rm("/shared", recursive=True)


def at_address(address, tmp_path):
    """Return the files at an address."""
    if address.address.startswith("memory"):
        memory = fsspec.filesystem("memory")
        found = memory.find("/shared/stores")
        return {name.removeprefix("/shared/stores/"): memory.cat(name) for name in found}
    return files_below(tmp_path / "shared" / "stores")


def test_what_is_at_an_address_is_the_store_of_one_machine(alone, address, tmp_path):
    made, was_there = make(CachePlace(tmp_path / "one", store=address))
    assert not was_there
    expected = files_below(alone.path.parent)
    assert at_address(address, tmp_path) == expected
    assert files_below(made.path.parent) == expected  # it has room for all of it


def test_another_machine_copies_what_it_reads(alone, address, tmp_path):
    make(CachePlace(tmp_path / "one", store=address))
    place = CachePlace(tmp_path / "two", store=address)
    store, was_there = open_or_write(place, {}, unread, WORDS)
    assert was_there
    assert tokens_here(store) == []
    assert store.documents.tobytes() == alone.documents.tobytes()
    for document in (0, 39, 17):
        assert store.tokens(document).tolist() == alone.tokens(document).tolist()
    assert store.columns("is") == alone.columns("is")
    again, was_there = open_or_write(place, {}, unread, WORDS)
    assert was_there
    assert again.tokens(20).tolist() == alone.tokens(20).tolist()
    assert pickle.loads(pickle.dumps(again)).tokens(30).tolist() == alone.tokens(30).tolist()  # noqa: S301


def small(tmp_path, alone, shards, name="small"):
    """Return a cache that has room for so many shards, and for the rest of the store."""
    size = alone.meta["shards"][0]["files"]
    both = size["tokens.bin"]["bytes"] + size["columns.parquet"]["bytes"]
    whole = sum(path.stat().st_size for path in alone.path.rglob("*") if path.is_file())
    return CachePlace(
        tmp_path / name,
        limit_bytes=whole - SHARDS * both + 2000 + shards * size["tokens.bin"]["bytes"],
        store=StoreAddress(str(tmp_path / "shared" / "stores")),
    )


def cache_bytes(place):
    return sum(path.stat().st_size for path in (place.folder / "stores").rglob("*.*"))


def test_shards_behind_the_reading_make_room_for_those_ahead(alone, tmp_path):
    shared = StoreAddress(str(tmp_path / "shared" / "stores"))
    make(CachePlace(tmp_path / "one", store=shared))
    place = small(tmp_path, alone, 3)
    store, _ = open_or_write(place, {}, unread, WORDS)
    for _ in range(2):
        for shard in range(SHARDS):
            assert store.shard_tokens[shard].tolist() == alone.shard_tokens[shard].tolist()
            wait_for(lambda at=shard: min(at + 1, SHARDS - 1) in tokens_here(store))
            assert cache_bytes(place) <= place.limit_bytes
            assert len(tokens_here(store)) <= 3


def wait_for(there, most_s=10.0):
    deadline = time.monotonic() + most_s
    while not there():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_what_is_read_now_stays_and_what_comes_next_is_fetched(alone, tmp_path):
    shared = StoreAddress(str(tmp_path / "shared" / "stores"))
    make(CachePlace(tmp_path / "one", store=shared))
    store, _ = open_or_write(small(tmp_path, alone, 5), {}, unread, WORDS)
    tokens = store.shard_tokens
    tokens.expect([6, 1, 3], [0, 7, 2])
    for shard in (6, 1, 3, 1, 6):
        assert tokens[shard].tolist() == alone.shard_tokens[shard].tolist()
    wait_for(lambda: tokens_here(store) == [0, 1, 3, 6, 7])
    tokens.expect([0, 7, 2], [5])
    for shard in (0, 7, 2):
        assert tokens[shard].tolist() == alone.shard_tokens[shard].tolist()
    wait_for(lambda: {0, 2, 5, 7} <= {*tokens_here(store)})
    assert len(tokens_here(store)) <= 5


def test_a_cache_without_room_for_what_is_shuffled_together_is_refused(alone, tmp_path):
    shared = StoreAddress(str(tmp_path / "shared" / "stores"))
    make(CachePlace(tmp_path / "one", store=shared))
    store, _ = open_or_write(small(tmp_path, alone, 4), {}, unread, WORDS)
    store.shard_tokens.check_room(4, "--cache-limit")
    with pytest.raises(DataError, match=r"the 5 shards that are shuffled together have 0.1 MB"):
        store.shard_tokens.check_room(5, "--cache-limit")
    alone.shard_tokens.check_room(99, "--cache-limit")  # all of it is here


def test_a_store_larger_than_the_cache_is_written(alone, tmp_path):
    place = small(tmp_path, alone, 3)
    sizes = []
    store, _ = make(place, on_progress=lambda *_: sizes.append(cache_bytes(place)))
    assert at_address(place.store, tmp_path) == files_below(alone.path.parent)
    assert len(tokens_here(store)) < SHARDS
    assert [store.tokens(n).tolist() for n in range(40)] == [
        alone.tokens(n).tolist() for n in range(40)
    ]


def test_a_store_that_was_here_alone_is_put_there(alone, address, tmp_path):
    place = CachePlace(alone.path.parent.parent, store=address)
    expected = files_below(alone.path.parent)
    assert at_address_or_none(address, tmp_path) == {}
    store, was_there = open_or_write(place, {}, unread, WORDS)
    assert was_there
    assert at_address(address, tmp_path) == expected
    moved = CachePlace(place.folder, store=StoreAddress(str(tmp_path / "other")))
    shutil.rmtree(store.folder(2))  # as if it had been evicted
    (store.folder(2)).mkdir()
    for name in ("documents.npy",):
        (store.folder(2) / name).write_bytes(expected[f"{store.path.name}/{shard_name(2)}/{name}"])
    open_or_write(moved, {}, unread, WORDS)
    assert files_below(tmp_path / "other") == expected
    assert json.loads((store.path / ADDRESS).read_text()) == {"address": str(tmp_path / "other")}


def test_a_store_that_is_at_both_addresses_is_read_from_the_one_that_is_named(shared, tmp_path):
    there, store, place = shared
    shutil.copytree(there.parent, tmp_path / "other")
    other = CachePlace(place.folder, store=StoreAddress(str(tmp_path / "other")))
    again, _ = open_or_write(other, {}, unread, WORDS)
    shutil.rmtree(there.parent)
    assert again.path == store.path
    assert again.tokens(33).tolist() == [*open_or_write(other, {}, unread, WORDS)[0].tokens(33)]


def at_address_or_none(address, tmp_path):
    try:
        return at_address(address, tmp_path)
    except FileNotFoundError:
        return {}


@pytest.fixture
def shared(tmp_path):
    """A folder of stores, one of which another machine has put there, and this one has begun."""
    address = StoreAddress(str(tmp_path / "shared" / "stores"))
    make(CachePlace(tmp_path / "one", store=address))
    place = CachePlace(tmp_path / "two", store=address)
    store, _ = open_or_write(place, {}, unread, WORDS)
    return tmp_path / "shared" / "stores" / store.path.name, store, place


@pytest.mark.parametrize("kind", ["flipped", "cut", "gone"])
def test_a_shard_that_is_damaged_there_is_named_and_not_read(shared, kind):
    there, store, _ = shared
    file = there / shard_name(5) / "tokens.bin"
    content = bytearray(file.read_bytes())
    content[77] ^= 4
    expected = "holds other bytes than were written"
    if kind == "gone":
        file.unlink()
        expected = "cannot be read"
    else:
        file.write_bytes(content if kind == "flipped" else content[:-1])
    with pytest.raises(DataError, match=expected) as raised:
        store.shard_tokens[5]
    assert kind == "gone" or f"{store.path.name}/shard-00005/tokens.bin" in str(raised.value)
    assert tokens_here(store) == []
    assert [*store.folder(5).glob(".*")] == []
    assert store.shard_tokens[4] is not None


def test_a_damaged_beginning_is_made_again(shared, caplog, tmp_path):
    there, _, _ = shared
    expected = files_below(there)
    (there / "meta.json").write_bytes(expected["meta.json"][:-9])
    with caplog.at_level(logging.WARNING, "nextfill"):
        _, was_there = make(CachePlace(tmp_path / "three", store=StoreAddress(str(there.parent))))
    assert not was_there
    assert "is damaged: meta.json cannot be read" in caplog.text
    assert files_below(there) == expected


def test_a_store_without_meta_is_not_there_yet(shared, tmp_path):
    there, _, _ = shared
    expected = files_below(there)
    (there / "meta.json").unlink()
    assert not make(CachePlace(tmp_path / "three", store=StoreAddress(str(there.parent))))[1]
    assert files_below(there) == expected


def test_a_file_that_another_process_removed_is_fetched_again(shared, alone):
    _, store, _ = shared
    assert store.tokens(0).tolist() == alone.tokens(0).tolist()
    copy = copy_of(store.path)
    copy._drop(0)
    assert 0 not in tokens_here(store)
    assert store.tokens(0).tolist() == alone.tokens(0).tolist()


def test_a_shard_that_is_damaged_here_is_fetched_again(shared, alone, aged):
    _, store, place = shared
    assert store.tokens(0).tolist() == alone.tokens(0).tolist()
    file = store.folder(0) / "tokens.bin"
    content = bytearray(file.read_bytes())
    content[0] ^= 1
    file.write_bytes(content)
    again, _ = open_or_write(place, {}, unread, WORDS)
    assert again.tokens(0).tolist() == alone.tokens(0).tolist()


def test_a_cache_that_is_too_small_for_a_shard_is_told_once(alone, tmp_path, caplog):
    shared = StoreAddress(str(tmp_path / "shared" / "stores"))
    make(CachePlace(tmp_path / "one", store=shared))
    store, _ = open_or_write(small(tmp_path, alone, -1), {}, unread, WORDS)
    with caplog.at_level(logging.WARNING, "nextfill"):
        for shard in range(3):
            assert store.shard_tokens[shard].tolist() == alone.shard_tokens[shard].tolist()
            assert tokens_here(store) == [shard]
    told = [one.message for one in caplog.records if "over its limit" in one.message]
    assert len(told) == 1
    assert "by the tokens that are read: give --cache-limit 1MB" in told[0]


READ = """
import sys
import time
from pathlib import Path
from nextfill.data.store.cache_place import CachePlace
from nextfill.data.store.store_copy import copy_of
from nextfill.data.store.token_store import TokenStore

path = Path(sys.argv[1])
copy_of(path, CachePlace(path.parent.parent, limit_bytes=int(sys.argv[2])))
store = TokenStore.open(path)
print([int(store.shard_tokens[n % 8].sum()) for n in range(160)])
"""


def test_processes_that_make_room_in_one_copy_read_the_same(alone, tmp_path):
    shared = StoreAddress(str(tmp_path / "shared" / "stores"))
    make(CachePlace(tmp_path / "one", store=shared))
    place = small(tmp_path, alone, 2)
    store, _ = open_or_write(place, {}, unread, WORDS)
    command = [sys.executable, "-c", READ, str(store.path), str(place.limit_bytes)]
    readers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    sums = [int(alone.shard_tokens[n % 8].sum()) for n in range(160)]
    assert [reader.communicate()[0] for reader in readers] == [f"{sums}\n"] * 2
    assert len(tokens_here(store)) <= 4


def test_copies_and_whole_stores_are_joined(shared, tmp_path, alone):
    _, store, _ = shared
    other, _ = make(tmp_path / "here", shards=2)
    joined = join_stores([other, store])
    assert joined.shard_tokens.has_copies
    joined.shard_tokens.expect([2, 9], [0, 4])
    for document in (3, 9, 10, 12, 49):
        expected = (other, document) if document < 10 else (alone, document - 10)
        assert joined.tokens(document).tolist() == expected[0].tokens(expected[1]).tolist()


def test_a_place_that_cannot_be_written_is_told_before_the_text_is_read(tmp_path):
    (tmp_path / "file").write_text("no folder")
    place = CachePlace(tmp_path / "one", store=StoreAddress(str(tmp_path / "file" / "stores")))
    with pytest.raises(DataError, match=r"--store .*file/stores' cannot be (written|read)"):
        open_or_write(place, {}, lambda: (iter(()), ReadCounts()), WORDS)
    assert [*(tmp_path / "one" / "stores").glob("*")] == []
