from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from nextfill.core.errors import DataError
from nextfill.data.document import Document, ReadCounts
from nextfill.data.store import encoded_batch
from nextfill.data.store import shard_writer as shard
from nextfill.data.store import writer as write
from nextfill.data.store.encoder import Encoder
from nextfill.data.store.writer import write_store
from tests.unit.data.store.small_documents import IDS, documents


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
    monkeypatch.setattr(write, "SHARD_DOCUMENTS", 3)
    made = write_store(tmp_path / "s", documents(), encoder, key={}, counts=ReadCounts())
    assert made.shard_bounds.tolist() == [0, 3, 6, 7]
    assert [made.tokens(i).tolist() for i in range(7)] == IDS


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
    monkeypatch.setattr(encoded_batch, "BATCH_CHARACTERS", 6)
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
    really_sync, really_rename = shard.sync, Path.rename

    def sync(file: Path) -> None:
        synced.add(file)
        really_sync(file)

    def rename(folder: Path, target: Path) -> Path:
        at_rename.extend(file for file in [folder, *folder.rglob("*")] if file not in synced)
        return really_rename(folder, target)

    monkeypatch.setattr(shard, "sync", sync)
    monkeypatch.setattr(write, "sync", sync)
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


def test_a_full_disk_is_named(
    tmp_path: Path, encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataError, match=r"is full.*--cache-dir"):
        write_store(tmp_path / "s", documents(), encoder, key={}, counts=ReadCounts())
    assert list(tmp_path.iterdir()) == []


def test_any_error_of_the_disk_is_named(
    tmp_path: Path, encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(DataError, match=r"cannot be written.*Input/output error.*--cache-dir"):
        write_store(tmp_path / "s", documents(), encoder, key={}, counts=ReadCounts())
    assert list(tmp_path.iterdir()) == []


def test_an_error_while_the_files_are_let_go_does_not_hide_the_first(
    tmp_path: Path, encoder: Encoder
) -> None:
    """The bytes that did not fit are tried again when the file is closed."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    texts = (Document("a " * 5_000, number) for number in range(100))
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, before[1]))
    try:
        with pytest.raises(DataError, match=r"cannot be written.*File too large.*--cache-dir"):
            write_store(tmp_path / "s", texts, encoder, key={}, counts=ReadCounts())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []


def test_an_error_of_the_reading_is_not_the_disk_of_the_cache(
    tmp_path: Path, encoder: Encoder
) -> None:
    def breaking() -> Iterator[Document]:
        yield from documents()
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        write_store(tmp_path / "s", breaking(), encoder, key={}, counts=ReadCounts())


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path, encoder: Encoder) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"cannot be written.*--cache-dir"):
        write_store(tmp_path / "file" / "s", documents(), encoder, key={}, counts=ReadCounts())
