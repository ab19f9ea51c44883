from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from nextfill.data import store
from nextfill.data.cache import cache_dir, open_or_write, store_key
from nextfill.data.document import Document, ReadCounts
from nextfill.data.store import TokenStore, write_store
from nextfill.data.tokenize import Encoder, EngineMismatchError
from nextfill.errors import DataError

WORDS = Tokenizer(models.WordLevel({w: i for i, w in enumerate("?abcdé")}, "?"))
WORDS.pre_tokenizer = pre_tokenizers.WhitespaceSplit()

TEXTS = ["a b c", "", "d", "a a a a a", "  ", "é b", "c"]
IDS = [[1, 2, 3], [], [4], [1] * 5, [], [5, 2], [3]]


@pytest.fixture
def encoder() -> Encoder:
    return Encoder(WORDS, engine="tokenizers")


def documents() -> Iterator[Document]:
    for number, text in enumerate(TEXTS):
        yield Document(text, 10 * number, {"kind": f"k{number % 2}"})


@pytest.mark.parametrize("shard_tokens", [1, 3, 4, 100])
@pytest.mark.parametrize("batch", [1, 2, 100])
def test_round_trip(
    tmp_path: Path,
    encoder: Encoder,
    shard_tokens: int,
    batch: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(store, "BATCH_DOCUMENTS", batch)
    path = tmp_path / "s"
    counts = ReadCounts(7, 7, 2, {"not text": 3})
    made = write_store(
        path, documents(), encoder, key={"x": 1}, counts=counts, shard_tokens=shard_tokens
    )
    opened = TokenStore.open(path)
    assert opened.meta == made.meta
    assert [opened.tokens(i).tolist() for i in range(7)] == IDS
    assert opened.tokens(3, 1, 2).tolist() == [1, 1]
    assert opened.tokens(0, 2, 9).tolist() == [3]
    rows = opened.documents
    assert rows["record"].tolist() == [10 * n for n in range(7)]
    assert rows["bytes"].tolist() == [len(text.encode()) for text in TEXTS]
    assert rows["characters"].tolist() == [len(text) for text in TEXTS]
    assert rows["words"].tolist() == [3, 0, 1, 5, 0, 2, 1]
    assert rows["hash"][0].tobytes() == hashlib.blake2b(b"a b c", digest_size=16).digest()
    assert opened.columns("kind") == [f"k{n % 2}" for n in range(7)]
    assert (opened.num_documents, opened.num_tokens) == (7, 12)
    assert opened.meta["counts"] == {
        "records": 7,
        "documents": 7,
        "empty": 2,
        "skipped": {"not text": 3},
    }
    totals = {"documents": 7, "tokens": 12, "bytes": 22, "characters": 21, "words": 12}
    assert opened.meta["totals"] == totals


def test_shards_close_at_the_limit(tmp_path: Path, encoder: Encoder) -> None:
    made = write_store(
        tmp_path / "s", documents(), encoder, key={}, counts=ReadCounts(), shard_tokens=4
    )
    assert made.shard_bounds.tolist() == [0, 3, 4, 7]
    assert made.shard_of(np.arange(7)).tolist() == [0, 0, 0, 1, 2, 2, 2]
    assert [len(tokens) for tokens in made.shard_tokens] == [4, 5, 3]
    assert made.documents["offset"].tolist() == [0, 3, 3, 0, 0, 0, 2]


def test_shards_close_at_a_number_of_documents(
    tmp_path: Path, encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "SHARD_DOCUMENTS", 3)
    made = write_store(tmp_path / "s", documents(), encoder, key={}, counts=ReadCounts())
    assert made.shard_bounds.tolist() == [0, 3, 6, 7]
    assert [made.tokens(i).tolist() for i in range(7)] == IDS


def test_tokens_are_mapped_not_read(tmp_path: Path, encoder: Encoder) -> None:
    made = write_store(tmp_path / "s", documents(), encoder, key={}, counts=ReadCounts())
    assert isinstance(made.shard_tokens[0].base, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        made.tokens(0)[0] = 0


def test_store_without_documents_or_tokens(tmp_path: Path, encoder: Encoder) -> None:
    none = write_store(tmp_path / "none", [], encoder, key={}, counts=ReadCounts())
    assert (none.num_documents, none.num_shards, len(none.documents)) == (0, 0, 0)
    assert none.columns("kind") is None
    blank = write_store(tmp_path / "b", [Document("", 0)], encoder, key={}, counts=ReadCounts())
    assert blank.tokens(0).tolist() == []


def test_content_hash_tells_texts_apart(tmp_path: Path, encoder: Encoder) -> None:
    def digest(name: str, *texts: str) -> str:
        made = write_store(
            tmp_path / name, [Document(t, 0) for t in texts], encoder, key={}, counts=ReadCounts()
        )
        return str(made.meta["content_sha256"])

    assert digest("1", "a", "b") == digest("2", "a", "b")
    assert digest("3", "ab") != digest("4", "a", "b")
    assert digest("5", "a", "") != digest("6", "", "a")


def test_counts_are_taken_after_the_reading(tmp_path: Path, encoder: Encoder) -> None:
    counts = ReadCounts()

    def reading() -> Iterator[Document]:
        for document in documents():
            counts.records += 1
            yield document

    made = write_store(tmp_path / "s", reading(), encoder, key={}, counts=counts)
    assert made.meta["counts"]["records"] == 7


def test_progress(tmp_path: Path, encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "BATCH_CHARACTERS", 6)
    seen: list[tuple[int, int]] = []
    write_store(
        tmp_path / "s",
        documents(),
        encoder,
        key={},
        counts=ReadCounts(),
        on_progress=lambda *at: seen.append(at),
    )
    assert seen == [(3, 6), (4, 15), (7, 22)]


def test_everything_is_on_the_disk_before_the_store_gets_its_name(
    tmp_path: Path, encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, synced, at_rename = tmp_path / "s", set(), []
    really_sync, really_rename = store._sync, Path.rename

    def sync(file: Path) -> None:
        synced.add(file)
        really_sync(file)

    def rename(folder: Path, target: Path) -> Path:
        at_rename.extend(file for file in [folder, *folder.rglob("*")] if file not in synced)
        return really_rename(folder, target)

    monkeypatch.setattr(store, "_sync", sync)
    monkeypatch.setattr(Path, "rename", rename)
    write_store(path, documents(), encoder, key={}, counts=ReadCounts(), shard_tokens=4)
    assert at_rename == []
    assert tmp_path in synced


def test_a_crash_leaves_nothing(tmp_path: Path, encoder: Encoder) -> None:
    def breaking() -> Iterator[Document]:
        yield from documents()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_store(tmp_path / "s", breaking(), encoder, key={}, counts=ReadCounts())
    assert list(tmp_path.iterdir()) == []


def test_whoever_finishes_first_wins(tmp_path: Path, encoder: Encoder) -> None:
    path = tmp_path / "s"

    def overtaken() -> Iterator[Document]:
        write_store(path, documents(), encoder, key={"by": "other"}, counts=ReadCounts())
        yield from documents()

    made = write_store(path, overtaken(), encoder, key={"by": "me"}, counts=ReadCounts())
    assert made.meta["key"] == {"by": "other"}
    assert list(tmp_path.iterdir()) == [path]


def test_columns_that_differ_are_refused(tmp_path: Path, encoder: Encoder) -> None:
    mixed = [Document("a", 0, {"kind": "x"}), Document("b", 1, {"sort": "y"})]
    with pytest.raises(DataError, match=r"record 1 has the columns \['sort'\]"):
        write_store(tmp_path / "s", mixed, encoder, key={}, counts=ReadCounts())
    made = write_store(tmp_path / "s", documents(), encoder, key={}, counts=ReadCounts())
    with pytest.raises(DataError, match=r"'knd'.*kept: kind.*Did you mean 'kind'"):
        made.columns("knd")


def test_a_damaged_store_is_refused(tmp_path: Path, encoder: Encoder) -> None:
    path = tmp_path / "s"
    with pytest.raises(DataError, match="no token store"):
        TokenStore.open(path)
    write_store(path, documents(), encoder, key={}, counts=ReadCounts())
    meta = json.loads((path / "meta.json").read_text())

    (path / "meta.json").write_text(json.dumps(meta | {"format_version": 99}))
    with pytest.raises(DataError, match="format_version 99, this Nextfill reads 1"):
        TokenStore.open(path)
    (path / "meta.json").write_text(json.dumps(meta)[:-9])
    with pytest.raises(DataError, match=r"meta\.json cannot be read"):
        TokenStore.open(path)
    (path / "meta.json").write_text(json.dumps(meta))
    TokenStore.open(path)

    tokens = path / "shard-00000" / "tokens.bin"
    tokens.write_bytes(tokens.read_bytes()[:-1])
    with pytest.raises(DataError, match=r"tokens\.bin of shard 0 has 23 bytes, not 24"):
        TokenStore.open(path)
    tokens.unlink()
    with pytest.raises(DataError, match=r"tokens\.bin of shard 0 is missing"):
        TokenStore.open(path)


def test_documents_damaged_in_place(tmp_path: Path, encoder: Encoder) -> None:
    path = tmp_path / "s"
    write_store(path, documents(), encoder, key={}, counts=ReadCounts())
    rows = path / "shard-00000" / "documents.npy"
    rows.write_bytes(bytes(rows.stat().st_size))
    with pytest.raises(DataError, match="damaged"):
        _ = TokenStore.open(path).documents


class Reading:
    """Counts how often the data was read."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> tuple[Iterator[Document], ReadCounts]:
        self.times += 1
        return documents(), ReadCounts(7, 7)


def test_cache_uses_a_store_again(tmp_path: Path) -> None:
    read = Reading()
    first, was_there = open_or_write(tmp_path, {"file": "x"}, read, WORDS)
    assert not was_there
    second, was_there = open_or_write(tmp_path, {"file": "x"}, read, WORDS)
    assert (was_there, read.times, second.path) == (True, 1, first.path)
    other, was_there = open_or_write(tmp_path, {"file": "y"}, read, WORDS)
    assert not was_there
    assert other.path != first.path


def test_cache_keys_by_tokenizer(tmp_path: Path) -> None:
    other = Tokenizer.from_str(WORDS.to_str())
    other.add_tokens(["zebra"])
    first, _ = open_or_write(tmp_path, {}, Reading(), WORDS)
    second, was_there = open_or_write(tmp_path, {}, Reading(), other)
    assert not was_there
    assert first.path != second.path


def test_cache_makes_a_damaged_store_again(tmp_path: Path) -> None:
    first, _ = open_or_write(tmp_path, {}, Reading(), WORDS)
    (first.path / "shard-00000" / "tokens.bin").unlink()
    second, was_there = open_or_write(tmp_path, {}, Reading(), WORDS)
    assert not was_there
    assert second.tokens(0).tolist() == IDS[0]


def test_cache_reads_again_when_the_engines_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engines = []

    def encode(self: Encoder, texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
        engines.append(self.engine)
        if len(engines) == 1:
            raise EngineMismatchError("differ")
        return self._encode_slowly(texts)

    monkeypatch.setattr(Encoder, "encode", encode)
    read = Reading()
    made, _ = open_or_write(tmp_path, {}, read, WORDS)
    assert read.times == 2
    assert made.meta["engine"] == "tokenizers"
    assert [made.tokens(i).tolist() for i in range(7)] == IDS


def test_cache_sweeps_what_a_killed_process_left(tmp_path: Path) -> None:
    old, new = tmp_path / "stores" / "k.tmp-old", tmp_path / "stores" / "k.tmp-new"
    for folder in (old, new):
        folder.mkdir(parents=True)
    os.utime(old, (0, 0))
    open_or_write(tmp_path, {}, Reading(), WORDS)
    assert not old.exists()
    assert new.exists()


def test_cache_dir(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("NEXTFILL_CACHE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_dir() == tmp_path / ".cache" / "nextfill"
    monkeypatch.setenv("NEXTFILL_CACHE", "/from/environment")
    assert cache_dir() == Path("/from/environment")
    assert cache_dir("/from/flag") == Path("/from/flag")


def test_store_key_is_stable() -> None:
    key = store_key({"b": [1, 2.5, None], "a": "é"})
    canonical = '{"a":"\\u00e9","b":[1,2.5,null]}'
    assert key == hashlib.sha256(canonical.encode()).hexdigest()[:32]


def test_a_full_disk_is_named(
    tmp_path: Path, encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataError, match=r"is full.*--cache-dir"):
        write_store(tmp_path / "s", documents(), encoder, key={}, counts=ReadCounts())
    assert list(tmp_path.iterdir()) == []


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path, encoder: Encoder) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"cannot be written.*--cache-dir"):
        write_store(tmp_path / "file" / "s", documents(), encoder, key={}, counts=ReadCounts())
