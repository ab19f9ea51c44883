"""Several stores seen as one hold the documents of all, and number their records on."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from nextfill.core.errors import ConfigError, DataError
from nextfill.core.shared_cache import remember
from nextfill.data.document import Document, ReadCounts
from nextfill.data.records.files import exact_state
from nextfill.data.store import store_cache as cache
from nextfill.data.store.encoder import Encoder, EngineMismatchError
from nextfill.data.store.store_cache import cache_dir, join_stores, open_or_write, store_key
from nextfill.data.store.token_store import TokenStore
from nextfill.data.store.writer import write_store

WORDS = Tokenizer(models.WordLevel({w: i for i, w in enumerate("?abc")}, "?"))
WORDS.pre_tokenizer = pre_tokenizers.WhitespaceSplit()

TEXTS = ["a b c", "", "b"]
IDS = [[1, 2, 3], [], [2]]


def documents() -> Iterator[Document]:
    for number, text in enumerate(TEXTS):
        yield Document(text, number)


class Reading:
    """Counts how often the data was read."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> tuple[Iterator[Document], ReadCounts]:
        self.times += 1
        return documents(), ReadCounts(3, 3)


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
    (first.path / "meta.json").write_text('{"format_version": 2}')
    second, was_there = open_or_write(tmp_path, {}, Reading(), WORDS)
    assert not was_there
    (first.path / "meta.json").unlink()
    second, was_there = open_or_write(tmp_path, {}, Reading(), WORDS)
    assert not was_there
    # What was damaged stands aside for a while: others may be reading it.
    aside = [p.name for p in first.path.parent.iterdir() if p != first.path]
    assert len(aside) == 3
    assert all(name.startswith(f"{first.path.name}.tmp-damaged-") for name in aside)


def test_cache_makes_a_store_again_in_whose_place_another_lies(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first, _ = open_or_write(tmp_path, {"of": 1}, Reading(), WORDS)
    other, _ = open_or_write(tmp_path, {"of": 2}, Reading(), WORDS)
    shutil.rmtree(first.path)
    shutil.copytree(other.path, first.path)
    second, was_there = open_or_write(tmp_path, {"of": 1}, Reading(), WORDS)
    assert not was_there
    assert second.meta["key"]["of"] == 1
    assert "made from other data" in caplog.text
    assert open_or_write(tmp_path, {"of": 2}, Reading(), WORDS)[1]


def test_cache_tells_of_a_store_of_an_earlier_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(cache, "FORMAT_VERSION", cache.FORMAT_VERSION - 1)
    older, _ = open_or_write(tmp_path, {}, Reading(), WORDS)
    monkeypatch.undo()
    newer, was_there = open_or_write(tmp_path, {}, Reading(), WORDS)
    assert (was_there, newer.path != older.path) == (False, True)
    assert f"{older.path} was made by an earlier Nextfill" in caplog.text


def test_cache_verifies_a_store_where_that_is_asked(tmp_path: Path, aged: None) -> None:
    store, _ = open_or_write(tmp_path, {}, Reading(), WORDS)
    assert open_or_write(tmp_path, {}, Reading(), WORDS)[1]  # its states are remembered
    tokens = store.path / "shard-00000" / "tokens.bin"
    before = tokens.read_bytes()
    tokens.write_bytes(before[:-1] + b"\x01")
    [memory] = store.path.glob("verified-*.json")
    known = json.loads(memory.read_bytes())
    known["facts"]["shard-00000/tokens.bin"] = list(exact_state(tokens.stat()))
    remember(memory, known["about"], known["facts"])  # as a failing disk changes it
    assert open_or_write(tmp_path, {}, Reading(), WORDS)[1]
    _, was_there = open_or_write(tmp_path, {}, Reading(), WORDS, verify=True)
    assert not was_there
    assert tokens.read_bytes() == before


def test_cache_repairs_what_another_process_repairs_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = open_or_write(tmp_path, {}, Reading(), WORDS)
    (first.path / "shard-00000" / "tokens.bin").unlink()
    really_open = TokenStore.open.__func__

    def overtaken(cls: type[TokenStore], path: Path, **options: bool) -> TokenStore:
        monkeypatch.undo()
        try:
            return really_open(cls, path, **options)
        finally:
            shutil.rmtree(path)

    monkeypatch.setattr(TokenStore, "open", classmethod(overtaken))
    second, was_there = open_or_write(tmp_path, {}, Reading(), WORDS)
    assert not was_there
    assert second.tokens(0).tolist() == IDS[0]


def test_cache_that_cannot_put_a_damaged_store_aside_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = open_or_write(tmp_path, {}, Reading(), WORDS)
    (first.path / "meta.json").write_text("")

    def denied(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "rename", denied)
    with pytest.raises(DataError, match=r"damaged.*Permission denied.*--cache-dir"):
        open_or_write(tmp_path, {}, Reading(), WORDS)


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
    assert [made.tokens(i).tolist() for i in range(3)] == IDS


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
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_dir() == tmp_path / ".cache" / "nextfill"
    monkeypatch.setenv("XDG_CACHE_HOME", "/of/user")
    assert cache_dir() == Path("/of/user/nextfill")
    monkeypatch.setenv("NEXTFILL_CACHE", "/from/environment")
    assert cache_dir() == Path("/from/environment")
    assert cache_dir("/from/flag") == Path("/from/flag")


def test_cache_dir_that_can_be_no_path(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"--cache-dir .* cannot be used"):
        cache_dir("~nobody-of-that-name/x")
    monkeypatch.setenv("NEXTFILL_CACHE", "x" * 300)
    with pytest.raises(ConfigError, match=r"NEXTFILL_CACHE .* cannot be used"):
        cache_dir()
    monkeypatch.delenv("NEXTFILL_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/" + "x" * 300)
    with pytest.raises(ConfigError, match=r"XDG_CACHE_HOME .* cannot be used"):
        cache_dir()


@pytest.mark.parametrize("value", ["", "caches", "./caches", "~/caches"])
def test_a_relative_cache_home_is_ignored(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, value: str
) -> None:
    monkeypatch.delenv("NEXTFILL_CACHE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", value)
    assert cache_dir() == tmp_path / ".cache" / "nextfill"


def test_store_key_is_stable() -> None:
    key = store_key({"b": [1, 2.5, None], "a": "é"})
    canonical = '{"a":"\\u00e9","b":[1,2.5,null]}'
    assert key == hashlib.sha256(canonical.encode()).hexdigest()[:32]


LETTERS = Tokenizer(models.WordLevel({w: i for i, w in enumerate("?abcd")}, "?"))
LETTERS.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
ENCODER = Encoder(LETTERS, engine="tokenizers")


def make(path: Path, texts: list[str], *columns: str, field: str | None = None) -> TokenStore:
    documents = [
        Document(text, number, {name: f"{name}{number}" for name in columns})
        for number, text in enumerate(texts)
    ]
    counts = ReadCounts(len(texts) + 1, len(texts), 0, {"null": 1}, {}, len(texts), field)
    options = {"key": {}, "counts": counts, "name": path.name, "shard_tokens": 3}
    return write_store(path, iter(documents), ENCODER, **options)


@pytest.fixture
def stores(tmp_path):
    first = make(tmp_path / "first", ["a b", "c", "d d d d"], "kind", "place", field="text")
    return [
        first,
        make(tmp_path / "second", [], field="text"),
        make(tmp_path / "third", ["b", "a c"], "kind"),
    ]


def test_the_documents_of_all_in_their_order(stores):
    joined = join_stores(stores)
    assert joined.num_documents == 5
    assert joined.num_tokens == 10
    ids = [joined.tokens(number).tolist() for number in range(5)]
    assert ids == [[1, 2], [3], [4, 4, 4, 4], [2], [1, 3]]
    # Four records were read for the first store, one of which gave no document; one for the second.
    assert joined.documents["record"].tolist() == [0, 1, 2, 5, 6]
    assert joined.num_shards == sum(store.num_shards for store in stores)
    assert joined.columns("kind") == ["kind0", "kind1", "kind2", "kind0", "kind1"]
    with pytest.raises(Exception, match="'place' was not kept"):
        joined.columns("place")


def test_what_was_counted_is_added_up(stores):
    joined = join_stores(stores)
    counts = joined.meta["counts"]
    assert (counts["records"], counts["with_text"], counts["skipped"]) == (8, 5, {"null": 3})
    assert counts["text_field"] is None  # not the same in all
    assert join_stores(stores[:2]).meta["counts"]["text_field"] == "text"
    for name in ("bytes", "words", "tokens"):
        assert joined.meta["totals"][name] == sum(s.meta["totals"][name] for s in stores)


def test_the_digest_tells_the_order_and_the_texts(stores, tmp_path):
    digests = {
        join_stores(some).meta["content_sha256"]
        for some in (stores, stores[::-1], stores[:2], [stores[0], make(tmp_path / "x", ["b a"])])
    }
    assert len(digests) == 4


def test_one_store_is_itself(stores):
    assert join_stores(stores[:1]) is stores[0]


def test_joined_stores_are_joined_again(stores):
    twice = join_stores([join_stores(stores[:2]), stores[2]])
    once = join_stores(stores)
    assert twice.documents["record"].tolist() == once.documents["record"].tolist()
    assert [twice.tokens(n).tolist() for n in range(5)] == [
        once.tokens(n).tolist() for n in range(5)
    ]
