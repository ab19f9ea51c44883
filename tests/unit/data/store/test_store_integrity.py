"""A store's files are read whole once, and again when they may have changed; damage is found."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path

import pytest

from nextfill.core.errors import DataError
from nextfill.data.document import Document, ReadCounts
from nextfill.data.store import store_integrity as verification
from nextfill.data.store.encoder import Encoder
from nextfill.data.store.store_integrity import DamagedStoreError
from nextfill.data.store.token_store import TokenStore
from nextfill.data.store.writer import write_store
from tests.unit.data.store.small_documents import WORDS, documents

FILES = [
    f"shard-0000{shard}/{name}"
    for shard in (0, 1)
    for name in ("columns.parquet", "documents.npy", "tokens.bin")
]


def test_a_damaged_store_is_refused(tmp_path: Path, encoder: Encoder) -> None:
    path = tmp_path / "s"
    with pytest.raises(DataError, match="it is not there"):
        TokenStore.open(path)
    write_store(path, documents(), encoder, key={}, counts=ReadCounts())
    whole = (path / "meta.json").read_text()
    meta = json.loads(whole)

    (path / "meta.json").write_text(json.dumps(meta | {"format_version": 99}))
    with pytest.raises(DataError, match="format_version 99, this Nextfill reads 3"):
        TokenStore.open(path)
    for unreadable in (json.dumps(meta)[:-9], "", "[" * 200_000):
        (path / "meta.json").write_text(unreadable)
        with pytest.raises(DataError, match=r"meta\.json cannot be read"):
            TokenStore.open(path)
    without = {name: value for name, value in meta.items() if name != "checksum"}
    bad = [meta | {name: None} for name in meta if name != "format_version"]
    # Numbers in it that are others, and as good as any.
    totals = {**meta["totals"], "words": meta["totals"]["words"] + 1}
    bad += [without, meta | {"totals": totals}, meta | {"dtype": "<u4"}, meta | {"more": 1}]
    for changed in bad:
        (path / "meta.json").write_text(json.dumps(changed))
        with pytest.raises(DataError, match=r"meta\.json does not hold what was written"):
            TokenStore.open(path)
    (path / "meta.json").unlink()
    with pytest.raises(DataError, match=r"meta\.json is missing"):
        TokenStore.open(path)
    (path / "meta.json").mkdir()
    with pytest.raises(DataError, match="is damaged"):
        TokenStore.open(path)
    (path / "meta.json").rmdir()
    (path / "meta.json").write_text(json.dumps(meta))
    TokenStore.open(path)

    tokens = path / "shard-00000" / "tokens.bin"
    tokens.write_bytes(tokens.read_bytes()[:-1])
    with pytest.raises(DataError, match=r"tokens\.bin of shard 0 has 23 bytes, not 24"):
        TokenStore.open(path)
    tokens.unlink()
    with pytest.raises(DataError, match=r"tokens\.bin of shard 0 is missing"):
        TokenStore.open(path)
    tokens.mkdir()
    with pytest.raises(DataError, match=r"tokens\.bin of shard 0"):
        TokenStore.open(path)


def test_documents_damaged_in_place(tmp_path: Path, encoder: Encoder) -> None:
    path = tmp_path / "s"
    write_store(path, documents(), encoder, key={}, counts=ReadCounts())
    rows = path / "shard-00000" / "documents.npy"
    rows.write_bytes(bytes(rows.stat().st_size))
    with pytest.raises(DataError, match="damaged"):
        _ = TokenStore.open(path).documents


def texts(first: str) -> Iterator[Document]:
    for number in range(4):
        yield Document(f"{first} b c", number, {"kind": "k"})


def make(path: Path, first: str = "a", documents: Iterator[Document] | None = None) -> TokenStore:
    encoder = Encoder(WORDS, engine="tokenizers")
    given = documents or texts(first)
    return write_store(path, given, encoder, key={}, counts=ReadCounts(4, 4), shard_tokens=6)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return make(tmp_path / "s").path


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that were read whole."""
    found: list[str] = []
    really = verification.check_file

    def noted(path: Path, name: str, *rest: object, **options: bool) -> None:
        found.append(name)
        really(path, name, *rest, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(verification, "check_file", noted)
    return found


def test_files_are_read_again_only_where_they_have_changed(
    aged: None, store: Path, reads: list[str]
) -> None:
    opened = [TokenStore.open(store) for _ in range(3)]
    assert reads == []  # while it was written, they were
    assert pickle.loads(pickle.dumps(opened[0])).tokens(1).tolist() == [1, 2, 3]  # noqa: S301
    os.utime(store / FILES[2])
    TokenStore.open(store)
    assert reads == [FILES[2]]
    TokenStore.open(store)
    assert len(reads) == 1
    TokenStore.open(store, verify=True)
    assert reads[1:] == FILES


def test_files_that_were_just_written_are_not_taken_for_known(
    store: Path, reads: list[str]
) -> None:
    for _ in range(2):
        TokenStore.open(store)
    assert reads == 2 * FILES
    assert not list(store.glob("verified-*"))


def test_a_copied_store_is_read_once(
    aged: None, store: Path, tmp_path: Path, reads: list[str]
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(store, copy)
    for _ in range(2):
        TokenStore.open(copy)
    assert reads == FILES


def test_a_store_that_cannot_be_written_to_is_read_each_time(
    aged: None, store: Path, reads: list[str]
) -> None:
    [memory] = store.glob("verified-*")
    memory.unlink()
    memory.mkdir()
    for _ in range(2):
        TokenStore.open(store)
    assert reads == 2 * FILES


def flipped(file: Path, _: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def flipped_with_its_time_put_back(file: Path, _: Path) -> None:
    before = file.stat()
    time.sleep(0.02)  # the kernel's clock goes in steps of some milliseconds
    flipped(file, file)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def of_another_store(file: Path, other: Path) -> None:
    shutil.copyfile(other, file)


def with_another_store_in_its_place(file: Path, other: Path) -> None:
    other.replace(file)


def longer(file: Path, _: Path) -> None:
    with file.open("ab") as end:
        end.write(b"\0")


def zeros(file: Path, _: Path) -> None:
    file.write_bytes(bytes(file.stat().st_size))


def emptied(file: Path, _: Path) -> None:
    file.write_bytes(b"")


def removed(file: Path, _: Path) -> None:
    file.unlink()


def link_to_itself(file: Path, _: Path) -> None:
    file.unlink()
    file.symlink_to(file.name)


DAMAGES = [
    flipped,
    flipped_with_its_time_put_back,
    of_another_store,
    with_another_store_in_its_place,
    longer,
    zeros,
    emptied,
    removed,
    link_to_itself,
]


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", FILES)
def test_damage_is_found(
    aged: None, store: Path, tmp_path: Path, name: str, damage: Callable[[Path, Path], None]
) -> None:
    other = make(tmp_path / "other", "b").path
    if name.endswith("columns.parquet"):
        flipped(other / name, other)  # both stores hold the same columns
    TokenStore.open(store)
    damage(store / name, other / name)
    shard, file = name.split("/")
    with pytest.raises(DamagedStoreError, match=f"damaged: {file} of shard {int(shard[-1])} "):
        TokenStore.open(store)


def test_shards_that_changed_places_are_found(aged: None, tmp_path: Path) -> None:
    documents = (Document(f"{letter} b c", n, {"kind": "k"}) for n, letter in enumerate("aabb"))
    store = make(tmp_path / "s", documents=documents).path
    one, two, between = store / "shard-00000", store / "shard-00001", store / "x"
    for here, there in ((one, between), (two, one), (between, two)):
        here.rename(there)
    with pytest.raises(DamagedStoreError, match="shard 0 holds other bytes"):
        TokenStore.open(store)


def test_states_of_another_store_are_not_believed(aged: None, tmp_path: Path) -> None:
    one, other = make(tmp_path / "one").path, make(tmp_path / "two", "b").path
    for name in FILES:
        (other / name).replace(one / name)
    [memory], [known] = one.glob("verified-*"), other.glob("verified-*")
    known.replace(memory)
    with pytest.raises(DamagedStoreError):
        TokenStore.open(one)


def test_a_store_is_not_damaged_because_too_many_files_are_open(store: Path) -> None:
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    held: list[int] = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, limits[1]))
    try:
        with suppress(OSError):
            while True:
                held.append(os.open(os.devnull, os.O_RDONLY))
        with pytest.raises(DataError, match="Too many open files") as refused:
            TokenStore.open(store)
    finally:
        for descriptor in held:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert not isinstance(refused.value, DamagedStoreError)
    TokenStore.open(store)


def test_what_the_disk_does_not_keep_is_found_when_it_is_written(tmp_path: Path) -> None:
    def documents() -> Iterator[Document]:
        for number, document in enumerate(chain.from_iterable(texts("a") for _ in range(5))):
            if number == 8:
                [tokens] = tmp_path.glob("s.tmp-*/shard-00000/tokens.bin")
                flipped(tokens, tokens)
            yield document

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nextfill.data.store.encoded_batch.BATCH_DOCUMENTS", 1)
        with pytest.raises(DataError, match=r"tokens\.bin of shard 0 .*disk or the memory may"):
            make(tmp_path / "s", documents=documents())
    assert list(tmp_path.iterdir()) == []
