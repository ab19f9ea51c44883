"""A source that is read and encoded part by part gives the bytes that one reading gives."""

from __future__ import annotations

import json
import logging
import pickle
from collections.abc import Generator, Iterable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers

from nextfill.config import DataConfig
from nextfill.core.errors import DataError
from nextfill.data.cluster.source_part import EncoderFacts, PartItem, SourcePart, encoded_part
from nextfill.data.document import Document
from nextfill.data.preparation import prepare_data
from nextfill.data.records import file_ranges
from nextfill.data.store import encoded_batch
from nextfill.data.store.encoded_batch import EncodedBatch, batches, digest_bytes, encode, measure
from nextfill.data.store.encoder import Encoded, Encoder

WORDS = Tokenizer(models.WordLevel({w: i for i, w in enumerate("?abcdé")}, "?"))
WORDS.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
BYTES = Tokenizer.from_file(str(files("nextfill") / "bundled" / "base-causal" / "tokenizer.json"))
"""A tokenizer that gigatoken encodes, too."""


class InTurn:
    """Workers that are this process: each result is pickled, as one from elsewhere is."""

    def __init__(self, most_parts: int) -> None:
        self.most_parts = most_parts
        self.parts: list[SourcePart] = []

    def can_take(self, part: SourcePart) -> bool:
        return True

    def results(
        self, parts: Sequence[SourcePart], encoder: EncoderFacts
    ) -> Generator[Iterable[PartItem]]:
        self.parts += parts
        for part in parts:
            yield pickle.loads(pickle.dumps([*encoded_part(part, encoder)]))  # noqa: S301 - ours


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoded_batch, "BATCH_CHARACTERS", 40)


def prepared(
    folder: Path,
    cache: Path,
    workers: InTurn | None = None,
    tokenizer: Tokenizer = WORDS,
    **settings: Any,
) -> Path:
    """Prepare a folder and return the store's folder."""
    data = DataConfig(source=str(folder), **settings)
    made = prepare_data(data, tokenizer, seed=0, cache=cache, whole=True, workers=workers)
    assert not made.reused
    return made.train.store.path


def assert_same(one: Path, other: Path) -> None:
    found = sorted(path.relative_to(one) for path in one.rglob("*") if path.is_file())
    assert found == sorted(path.relative_to(other) for path in other.rglob("*") if path.is_file())
    for file in found:
        assert (one / file).read_bytes() == (other / file).read_bytes(), file


def write_lines(folder: Path, contents: Sequence[Sequence[object]], suffix: str = "jsonl") -> None:
    folder.mkdir(exist_ok=True)
    for number, records in enumerate(contents):
        text = "".join(json.dumps(one) + "\n" for one in records)
        (folder / f"{number:03}.{suffix}").write_text(text)


TEXTS = [
    [f"{'a b c d é'[: 1 + n % 9]} {'a ' * (n % 7)}" for n in range(first, first + 5)]
    for first in range(9)
]
JOBS: dict[str, tuple[Sequence[Sequence[object]], dict[str, Any]]] = {
    "texts": ([[{"text": one} for one in some] for some in TEXTS], {}),
    "columns": (
        [[{"text": one, "by": n % 3} for n, one in enumerate(some)] for some in TEXTS],
        {"keep_fields": ["by"]},
    ),
    "contexts": (
        [[{"prompt": "a b", "completion": one or "c"} for one in some] for some in TEXTS],
        {},
    ),
    "lists": (
        [[{"text": [one, "b" * n]} for n, one in enumerate(some)] for some in TEXTS],
        {"explode": True},
    ),
    "gaps": (
        [
            [{"other": 1}, {"text": None}],
            [],
            [{"text": [None, "a"]}, {"x": 1}],
            *([{"text": one} for one in some] for some in TEXTS),
        ],
        {"text_field": "text"},
    ),
}


@pytest.mark.parametrize(
    "most_parts",
    [pytest.param(1, marks=pytest.mark.trial), 2, pytest.param(4, marks=pytest.mark.trial), 100],
)
@pytest.mark.parametrize("job", JOBS)
@pytest.mark.parametrize("tokenizer", [WORDS, BYTES], ids=["words", "bytes"])
def test_the_store_is_equal_byte_for_byte(
    job: str, most_parts: int, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    contents, told = JOBS[job]
    write_lines(tmp_path / "data", contents)
    workers = InTurn(most_parts)
    alone = prepared(tmp_path / "data", tmp_path / "alone", None, tokenizer, **told)
    parts = prepared(tmp_path / "data", tmp_path / "parts", workers, tokenizer, **told)
    assert_same(alone, parts)
    assert min(most_parts, 2) <= len(workers.parts) <= most_parts


@settings(deadline=None)
@given(
    st.lists(st.lists(st.text("ab é", max_size=60), max_size=12), max_size=6),
    st.integers(1, 90),
    st.integers(1, 9),
)
def test_batches_end_where_one_reading_ends_them(
    parts: list[list[str]], characters: int, number: int
) -> None:
    encoder = Encoder(WORDS, "tokenizers")

    def encoded(texts: Iterable[str]) -> list[EncodedBatch]:
        made = []
        for batch in batches(Document(one, 0, {"n": one[:1]}) for one in texts):
            measured = measure(batch, ("n",))
            part = encode(encoder, measured, ("n",))
            texts_ = np.frombuffer(digest_bytes(measured), np.uint8)
            made.append(EncodedBatch(part.ids, part.rows, None, part.columns, texts_))
        return made

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encoded_batch, "BATCH_CHARACTERS", characters)
        patch.setattr(encoded_batch, "BATCH_DOCUMENTS", number)
        whole = encoded(text for some in parts for text in some)
        found = [*encoded_batch.regrouped(one for some in parts for one in encoded(some))]
    for one, other in zip(whole, found, strict=True):
        assert one.columns == other.columns
        for name in ("ids", "rows", "texts"):
            assert np.array_equal(getattr(one, name), getattr(other, name)), name


def test_what_is_no_list_of_whole_files_is_one_part(tmp_path: Path) -> None:
    write_lines(tmp_path / "data", JOBS["texts"][0])
    workers = InTurn(8)
    told = {"split": "train[3:30]"}
    alone = prepared(tmp_path / "data", tmp_path / "alone", **told)
    assert_same(alone, prepared(tmp_path / "data", tmp_path / "parts", workers, **told))
    assert len(workers.parts) == 1


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    write_lines(tmp_path / "data", JOBS["texts"][0])
    (tmp_path / "data" / "004.jsonl").write_text('{"text": "a"}\n{"text": \n')
    with pytest.raises(DataError, match=r"004\.jsonl"):
        prepared(tmp_path / "data", tmp_path / "cache", InTurn(9))
    assert not [*(tmp_path / "cache" / "stores").iterdir()]


@pytest.mark.parametrize("job", JOBS)
@pytest.mark.parametrize("tokenizer", [WORDS, BYTES], ids=["words", "bytes"])
def test_one_file_is_divided_among_workers(
    job: str, tokenizer: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_ranges, "LEAST_BYTES", 1)
    contents, told = JOBS[job]
    records = [one for some in contents for one in some] * 6
    write_lines(tmp_path / "data", [records])
    file, workers = tmp_path / "data" / "000.jsonl", InTurn(7)
    alone = prepared(file, tmp_path / "alone", None, tokenizer, **told)
    assert_same(alone, prepared(file, tmp_path / "parts", workers, tokenizer, **told))
    assert 3 < len(workers.parts) <= 7


@pytest.mark.parametrize("txt", ["line", "paragraph"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_one_file_of_plain_text_is_divided(
    txt: Any, end: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_ranges, "LEAST_BYTES", 1)
    file, workers = tmp_path / "a.txt", InTurn(7)
    lines = [one for some in TEXTS for one in some]
    text = "".join(f"{one}\n\n" if n % 3 else f"{one}\n" for n, one in enumerate(lines))
    file.write_bytes(b"\xef\xbb\xbf" + text.replace("\n", end).encode())
    alone = prepared(file, tmp_path / "alone", txt=txt)
    assert_same(alone, prepared(file, tmp_path / "parts", workers, txt=txt))
    assert 3 < len(workers.parts) <= 7


@pytest.mark.parametrize(
    "line",
    ["{", "1", '{"text": 3}', '{"text": ["a", 3]}', '"a"', '{"text": "\\ud800"}', '{"n": 1}'],
)
@pytest.mark.parametrize("at", [130, 400, 599])
def test_a_fault_in_a_range_is_told_as_by_one_process(
    line: str, at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_ranges, "LEAST_BYTES", 1)
    lines = ['{"text": "a b"}', ""] * 300
    lines[at] = line
    for number in (0, 2):
        write_lines(tmp_path / "data", [[{"text": "a"}]] * 3)
        (tmp_path / "data" / "001.jsonl").write_text("\n".join(lines))
        (tmp_path / "data" / "002.jsonl").write_text("true\n" * number)
        said = []
        for name, workers in (("alone", None), ("parts", InTurn(9))):
            try:
                prepared(tmp_path / "data", tmp_path / f"{name}-{number}", workers)
            except DataError as error:
                said.append(str(error))
        assert len(said) == (0 if "n" in line and not number else 2), said
        assert len({*said}) < 2


def test_what_is_told_of_the_first_texts_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(file_ranges, "LEAST_BYTES", 1)
    plain = [{"text": f"a b {n}"} for n in range(300)]
    written = [{"text": json.dumps({"text": f"a {'b ' * n}"})} for n in range(300)]
    for case, records in enumerate((plain + written, written)):
        write_lines(tmp_path / f"data{case}", [records])
        said = []
        for name, workers in (("alone", None), ("parts", InTurn(9))):
            caplog.clear()
            with caplog.at_level(logging.WARNING, "nextfill"):
                prepared(tmp_path / f"data{case}", tmp_path / f"{name}-{case}", workers)
            said.append(caplog.messages[:])
        assert said[0] == said[1]
        assert sum("brackets and names" in one for one in said[0]) == case


BAD: dict[str, dict[int, str]] = {
    "one": {4: '{"text": "a"}\n{"text": \n'},
    "the first of all": {0: "[1]\n"},
    "two of one part": {4: "1\n", 5: '{"text": "a"}\n{\n'},
    "two of several": {2: '{"text": "a"}\n{\n', 7: "true\n"},
    "one of another kind between": {2: "1\n", 5: '{"text": 3}\n', 8: '"a" "b"\n'},
    "after a record without text": {3: '{"text": 3}\n', 4: "1\n"},
    "all but two": dict.fromkeys(range(2, 9), "\n1\n"),
    "more than are named": dict.fromkeys(range(3, 16), "1\n"),
}


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("most_parts", [2, 4, 100])
def test_files_that_cannot_be_read_are_told_as_by_one_process(
    bad: str, most_parts: int, tmp_path: Path
) -> None:
    write_lines(tmp_path / "data", JOBS["texts"][0])
    for number, content in BAD[bad].items():
        (tmp_path / "data" / f"{number:03}.jsonl").write_text(content)
    with pytest.raises(DataError) as alone:
        prepared(tmp_path / "data", tmp_path / "alone")
    with pytest.raises(DataError) as parts:
        prepared(tmp_path / "data", tmp_path / "parts", InTurn(most_parts))
    assert str(parts.value) == str(alone.value)
    assert "cannot be read" in str(alone.value) or len(BAD[bad]) < 3
    assert not [*tmp_path.glob("parts/stores/*")]


def test_a_file_that_changes_meanwhile_is_told(tmp_path: Path) -> None:
    write_lines(tmp_path / "data", JOBS["texts"][0])

    class Meddling(InTurn):
        def results(self, *of: Any) -> Generator[Iterable[PartItem]]:
            yield from super().results(*of)
            (tmp_path / "data" / "000.jsonl").write_text('{"text": "d"}\n')

    with pytest.raises(DataError, match="changed while it was read"):
        prepared(tmp_path / "data", tmp_path / "cache", Meddling(3))


def test_messages_of_parts_are_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    table = [{"text": ["a b", "c"], "n": [1, 2]}]
    write_lines(tmp_path / "data", [table] * 9, "json")
    with caplog.at_level(logging.WARNING, "nextfill"):
        alone = prepared(tmp_path / "data", tmp_path / "alone")
        one = caplog.messages[:]
        caplog.clear()
        assert_same(alone, prepared(tmp_path / "data", tmp_path / "parts", InTurn(3)))
    assert caplog.messages == one


def test_engines_that_differ_in_one_part_send_all_through_the_slower(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write_lines(tmp_path / "data", JOBS["texts"][0])
    real = Encoder._encode_checked

    def disagrees(encoder: Encoder, texts: Sequence[str]) -> tuple[Encoded, bool]:
        encoded, agrees = real(encoder, texts)
        return encoded, TEXTS[7][1] not in texts and agrees

    monkeypatch.setattr(Encoder, "_encode_checked", disagrees)
    store = prepared(tmp_path / "data", tmp_path / "parts", InTurn(9), BYTES)
    assert json.loads((store / "meta.json").read_text())["engine"] == "tokenizers"
    assert any("this is being done" in one for one in caplog.messages)
    assert_same(store, prepared(tmp_path / "data", tmp_path / "alone", None, BYTES))
