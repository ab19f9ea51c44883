"""Portions of a source: where they end, what they count, and how they are found again."""

from __future__ import annotations

import json
import os
import shutil
import time
from dataclasses import replace

import pytest

from nextfill.config import DataConfig
from nextfill.core.errors import DataError
from nextfill.core.locks import let_go
from nextfill.data import portions as module
from nextfill.data.document import add_counts
from nextfill.data.portions import ReadingStoppedError, SourcePortions
from nextfill.data.records.files import SURE_NS
from nextfill.data.records.sources import open_source
from nextfill.data.store import store_cache
from nextfill.data.store.encoder import EngineMismatchError
from nextfill.data.store.store_cache import join_stores, open_or_write
from nextfill.data.store.writer import write_store


@pytest.fixture
def lines(tmp_path, paragraphs):
    path = tmp_path / "texts.jsonl"
    values = [{"text": text} for text in paragraphs(120)]
    values[30:30] = [{"text": None}, {"text": ""}, {"other": 1}]
    path.write_text("".join(json.dumps(value) + "\n" for value in values), "utf-8")
    return path


@pytest.fixture
def tokenizer(tiny_tokenizer):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny_tokenizer)


@pytest.fixture
def opened(lines, tokenizer, tmp_path):
    """The function that opens the portions of the file, or of other settings."""

    def make(**settings):
        data = DataConfig(**{"source": str(lines), "portion_size": 0.003} | settings)
        source = open_source(data.source, split=data.split, unread=True)
        return SourcePortions(source, data, tokenizer, cache=tmp_path / "cache")

    return make


def every(portions):
    stores = []
    while (one := portions.open(len(stores))) is not None:
        stores.append(one[0])
    return stores


def whole(opened, tmp_path, tokenizer):
    """The store of all records, written at once."""
    portions = opened(portion_size=100.0)
    return open_or_write(tmp_path / "other", {}, lambda: portions._read(0), tokenizer)[0]


def test_together_they_hold_what_the_source_holds(opened, tmp_path, tokenizer, monkeypatch):
    stores = every(opened())
    assert len(stores) == 7
    monkeypatch.setattr(module, "FIRST_RECORDS", 1000)
    all_of_it = whole(opened, tmp_path, tokenizer)
    joined = join_stores(stores)
    assert joined.num_documents == all_of_it.num_documents == 121
    for name in ("tokens", "bytes", "words", "hash"):
        assert (joined.documents[name] == all_of_it.documents[name]).all(), name
    numbers = [number for one in stores for number in one.documents["record"].tolist()]
    assert numbers == all_of_it.documents["record"].tolist()
    for key in ("records", "documents", "empty", "with_text"):
        assert sum(one.meta["counts"][key] for one in stores) == all_of_it.meta["counts"][key]
    skipped = add_counts(one.meta["counts"]["skipped"] for one in stores)
    assert skipped == all_of_it.meta["counts"]["skipped"] == {"null": 1, "missing": 1}


def test_each_ends_with_the_record_that_reaches_its_size(opened):
    first, *others = every(opened())
    assert first.num_documents >= module.FIRST_RECORDS
    for store in others[:-1]:
        characters = store.documents["characters"]
        assert characters[:-1].sum() < 3000 <= characters.sum()


def test_a_portion_may_begin_with_a_record_without_the_field(opened, lines, paragraphs):
    values = [{"text": text} for text in paragraphs(25)]
    values[22:22] = [{"other": 1}]
    lines.write_text("".join(json.dumps(value) + "\n" for value in values), "utf-8")
    portions = opened(portion_size=0.000001)  # a text each, after the first
    counts = [portions.open(number)[0].meta["counts"] for number in range(4)]
    assert [one["records"] for one in counts] == [20, 1, 1, 2]
    assert [one["skipped"] for one in counts] == [{}, {}, {}, {"missing": 1}]


def test_no_record_is_cut_into_two_portions(tokenizer, tmp_path):
    path = tmp_path / "lists.jsonl"
    path.write_text("".join(json.dumps({"text": ["some words"] * 9}) + "\n" for _ in range(60)))
    data = DataConfig(source=str(path), portion_size=0.0002, explode=True)
    source = open_source(data.source, unread=True)
    stores = every(SourcePortions(source, data, tokenizer, cache=tmp_path / "cache"))
    assert [one.num_documents for one in stores] == [180, *[27] * 13, 9]


def test_what_is_there_is_not_read_again(opened, lines):
    settle(lines)
    stores = every(opened())
    portions = opened()
    portions._read = None
    assert [one.path for one in every(portions)] == [one.path for one in stores]


def settle(path):
    """Wait until a file is old enough to be told from a later one by its times."""
    while time.time_ns() - max(path.stat().st_ctime_ns, path.stat().st_mtime_ns) <= SURE_NS:
        time.sleep(0.1)


def test_a_middle_portion_that_is_lost_is_read_again(opened):
    stores = every(opened())
    digests = [one.meta["content_sha256"] for one in stores]
    for number in (0, 3, 5):
        shutil.rmtree(stores[number].path)
    assert [one.meta["content_sha256"] for one in every(opened())] == digests


def size_of(folder):
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_a_full_cache_has_room_for_a_whole_portion_after_the_small_first_one(
    opened, lines, paragraphs, tmp_path, monkeypatch
):
    lines.write_text("".join(json.dumps({"text": text}) + "\n" for text in paragraphs(1500)))
    settle(lines)
    monkeypatch.setattr(module, "FIRST_CHARACTERS", 3_000)
    settings = {"portion_size": 0.03}
    first, second, *_ = [one.path for one in every(opened(**settings))]
    assert size_of(second) > 2 * size_of(first)
    for path in (tmp_path / "cache" / "stores").iterdir():
        let_go(path)
    shutil.rmtree(second)
    for number in range(12):  # unused for longest, and of the least size
        copied = shutil.copytree(first, first.with_name(f"{number:032x}"))
        os.utime(copied / "meta.json", (number, number))
    limit = size_of(tmp_path / "cache" / "stores")
    peaks = []

    def measured(*given, **options):
        store = write_store(*given, **options)
        peaks.append(size_of(tmp_path / "cache" / "stores"))
        return store

    monkeypatch.setattr(store_cache, "write_store", measured)
    portions = opened(**settings)
    portions._cache = replace(portions._cache, limit_bytes=limit)
    for number in range(2):
        let_go(portions.open(number)[0].path)
    assert len(peaks) == 1
    assert peaks[0] <= limit


def test_a_portion_is_written_anew_where_the_encoder_fails_in_it(opened, monkeypatch):
    digests = [one.meta["content_sha256"] for one in every(opened())]
    failed = []

    def failing(path, documents, encoder, **options):
        if len(failed) < 1 and encoder.engine == "gigatoken" and "portion 3" in options["name"]:
            failed.append(next(iter(documents)))
            raise EngineMismatchError("differ")
        return write_store(path, documents, encoder, **options)

    monkeypatch.setattr(store_cache, "write_store", failing)
    stores = every(opened(join="; "))  # others, of the same texts
    assert failed
    assert [one.meta["content_sha256"] for one in stores] == digests
    assert [one.meta["engine"] for one in stores][1:4] == ["gigatoken", "tokenizers", "tokenizers"]


def test_reading_is_given_up_on_request(opened, tmp_path):
    portions = opened()
    assert portions.open(0) is not None
    portions.stop()
    with pytest.raises(ReadingStoppedError):
        portions.open(1)
    assert not list((tmp_path / "cache" / "stores").glob("*.tmp-*"))


def test_a_source_that_has_grown_shorter_is_told(opened, lines):
    portions = opened()
    assert portions.open(2) is not None
    portions._records = None  # as after an error
    lines.write_text("".join(lines.read_text("utf-8").splitlines(keepends=True)[:30]), "utf-8")
    with pytest.raises(DataError, match=r"changed while it was read|holds 30 records, fewer"):
        portions.open(3)


def test_a_file_written_over_is_another_source(opened, lines):
    before = lines.stat()
    old = opened().source.fingerprint
    assert opened().source.fingerprint != old  # just written: it may change within the same tick
    settle(lines)
    old = opened().source.fingerprint
    assert opened().source.fingerprint == old
    text = lines.read_bytes()
    lines.write_bytes(text[:-3] + b"!" + text[-2:])
    os.utime(lines, ns=(before.st_atime_ns, before.st_mtime_ns))
    settle(lines)
    assert opened().source.fingerprint != old
