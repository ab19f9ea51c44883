"""Documents on both sides: the same, nearly the same, and what only shares a quotation."""

from __future__ import annotations

import functools
import json
import random
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers

import nextfill
from nextfill.core.errors import DataError
from nextfill.data.contamination import leaks as known
from nextfill.data.contamination import ngram_index as index
from nextfill.data.contamination import word_runs as runs
from nextfill.data.contamination.leaks import NEAR, Leaks, drop_documents, find_leaks
from nextfill.data.contamination.word_hashes import FoldedVocabulary
from nextfill.data.contamination.word_runs import NGRAM
from nextfill.data.parts import Part
from nextfill.data.store.token_store import DOCUMENT, TokenStore
from nextfill.data.store.tokenizer_backend import plain_backend
from nextfill.data.store.vocabulary import read_vocabulary
from tests.properties import examples


class InMemory(tuple[np.ndarray, ...]):
    """The tokens of shards that no file holds."""

    def mapped(self, shard: int) -> None:
        return None


def part_of(texts: list[list[int]], first_record: int = 0) -> Part:
    """A part of a store that holds these tokens; a document's hash is of its tokens."""
    rows = np.zeros(len(texts), DOCUMENT)
    rows["tokens"] = [len(ids) for ids in texts]
    rows["offset"] = np.cumsum([0, *map(len, texts)])[:-1]
    rows["record"] = np.arange(len(texts)) + first_record
    rows["words"] = rows["tokens"]
    rows["hash"] = [(hash(tuple(ids)) & (2**63 - 1), len(ids)) for ids in texts]
    tokens = np.array([token for ids in texts for token in ids], np.uint16)
    meta = {"shards": [{"documents": len(texts), "tokens": len(tokens)}]}
    store = TokenStore(Path("nowhere"), meta)
    store.__dict__.update(documents=rows, shard_tokens=InMemory([tokens]))
    return Part(store, np.arange(len(texts)))


@functools.cache
def tokenizer() -> Tokenizer:
    """A word a token."""
    vocabulary = {f"w{n}": n for n in range(5000)}
    found = Tokenizer(models.WordLevel(vocabulary, unk_token=next(iter(vocabulary))))
    found.pre_tokenizer = pre_tokenizers.Whitespace()
    return found


def leaks_of(train: Part, held_out: Part, *more: Callable[[int, int], None]) -> Leaks:
    return find_leaks(train, held_out, tokenizer(), *more)


def words(seed: int, number: int) -> list[int]:
    return random.Random(seed).choices(range(1, 5000), k=number)


TRAIN = [words(seed, 200 + 10 * seed) for seed in range(40)]


def test_what_is_planted_is_found_and_a_quotation_is_not() -> None:
    exact = list(TRAIN[7])
    near = list(TRAIN[3])
    for place in range(0, len(near), 50):  # a token in fifty is another
        near[place] = 4999
    part_of_one = TRAIN[12][40:160]
    quotation = words(100, 150) + TRAIN[5][20:60] + words(101, 150)
    innocent = words(102, 300)
    short = TRAIN[9][:8]
    held_out = part_of([exact, innocent, near, quotation, part_of_one, short], first_record=70)
    found = leaks_of(part_of(TRAIN), held_out)
    assert (found.checked, found.exact, found.near, found.too_short) == (6, 1, 2, 1)
    assert found.documents.tolist() == [0, 2, 4]
    assert found.tokens == len(exact) + len(near) + len(part_of_one)
    pairs = {leak.record: (leak.train_record, leak.share) for leak in found.pairs}
    assert pairs[70] == (7, 1.0)
    assert pairs[72][0] == 3
    assert 0.7 < pairs[72][1] < 0.9
    assert pairs[74] == (12, 1.0)
    assert drop_documents(held_out, found.documents).documents.tolist() == [1, 3, 5]


def by_hand(train: list[list[int]], text: list[int]) -> float:
    """The share of a text's runs that stand in some training text."""
    known = {tuple(one[at : at + NGRAM]) for one in train for at in range(len(one) - NGRAM + 1)}
    mine = {tuple(text[at : at + NGRAM]) for at in range(len(text) - NGRAM + 1)}
    return len(mine & known) / len(mine) if mine else 0.0


ids = st.lists(st.integers(1, 2), max_size=40)


@given(st.lists(ids, min_size=1, max_size=8), st.lists(ids, min_size=1, max_size=5))
@examples(200)
def test_it_finds_what_a_loop_over_all_runs_finds(
    train: list[list[int]], held_out: list[list[int]]
) -> None:
    found = leaks_of(part_of(train), part_of(held_out))
    same = [text in [one for one in train if one] for text in held_out]
    near = [by_hand(train, text) >= NEAR for text in held_out]
    expected = [at for at in range(len(held_out)) if same[at] or near[at]]
    assert found.documents.tolist() == expected
    assert found.exact == sum(same)
    shares = {leak.record: leak.share for leak in found.pairs}
    for at in expected:
        if len(held_out[at]) >= NGRAM:
            assert shares[at] == pytest.approx(by_hand(train, held_out[at]))
    assert set(shares) == set(expected)


def test_batches_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    held_out = [TRAIN[1][10:90] + words(107, 30), TRAIN[2], words(108, 50)]
    whole = leaks_of(part_of(TRAIN), part_of(held_out))
    monkeypatch.setattr(runs, "BATCH_TOKENS", 100)
    monkeypatch.setattr(runs, "OVERLAP_TOKENS", 40)
    parts = leaks_of(part_of(TRAIN), part_of(held_out))
    assert parts.documents.tolist() == whole.documents.tolist() == [0, 1]
    assert parts.pairs == whole.pairs


def test_of_many_runs_a_sample_finds_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    half = [words(300 + n, 300) + TRAIN[n][:200] for n in range(10)]
    held_out = part_of([*half, *(words(400 + n, 300) for n in range(10)), TRAIN[5][:30], TRAIN[9]])
    whole = leaks_of(part_of(TRAIN), held_out)
    assert whole.one_run_in == 1
    assert "one_run_in" not in whole.to_json()
    monkeypatch.setattr(index, "MOST_RUNS", held_out.num_tokens // 5)
    some = leaks_of(part_of(TRAIN), held_out)
    assert some.one_run_in == 5
    assert some.to_json()["one_run_in"] == 5
    assert some.exact == whole.exact == 1
    assert some.documents.tolist() == whole.documents.tolist() == [20, 21]
    shares = {leak.record: leak.share for leak in some.pairs}
    assert shares[20] == 1.0


def test_a_sample_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    random_ids = np.random.default_rng(0).integers(1, 5000, (20, 5000))
    monkeypatch.setattr(index, "MOST_RUNS", 10_000)
    kept = index.RunIndex.of(part_of(random_ids.tolist()), folded())
    assert kept.one_in == 10
    assert 9000 < len(kept.runs) < 11_000
    few = index.RunIndex.of(part_of([*random_ids.tolist(), words(7, 20)]), folded())
    assert few.bounds[-1] - few.bounds[-2] == 20 - NGRAM + 1  # of a short one all


def test_the_number_of_runs_is_estimated_from_more_than_the_first_documents(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(index, "MOST_RUNS", 10_000)
    monkeypatch.setattr(index, "_ESTIMATED_BY", 5000)
    texts = [[] if number % 20 == 0 else words(number, 1000) for number in range(100)]
    kept = index.RunIndex.of(part_of(texts), folded())
    assert kept.one_in == 10
    assert 8000 < len(kept.runs) < 12_000


def folded() -> FoldedVocabulary:
    return FoldedVocabulary.of(read_vocabulary(plain_backend(tokenizer())))


def test_the_memory_of_a_run_is_little(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenth of a gigabyte of text is some ten million runs, all held at once."""
    monkeypatch.setattr(runs, "BATCH_TOKENS", 5000)
    random_ids = np.random.default_rng(0).integers(1, 5000, (400, 1000))
    train, held_out = part_of(TRAIN), part_of(random_ids.tolist())
    leaks_of(train, held_out)  # what stays, such as the tokenizer
    tracemalloc.start()
    try:
        leaks_of(train, held_out)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    per_run = peak / (400 * (1000 - NGRAM + 1))
    print(f"{per_run:.0f} bytes a run")
    assert per_run < 60


def test_progress_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "BATCH_TOKENS", 1000)
    monkeypatch.setattr(runs, "OVERLAP_TOKENS", 40)
    told: list[tuple[int, int]] = []
    leaks_of(
        part_of(TRAIN), part_of([words(108, 50)]), lambda done, total: told.append((done, total))
    )
    total = sum(map(len, TRAIN))
    assert told[-1] == (total, total)
    assert len(told) > 5


def test_what_repeats_takes_no_longer() -> None:
    """A run that stands everywhere on both sides is looked at once a document."""
    began = time.perf_counter()
    zeros = [1, 2] * 20_000
    found = leaks_of(part_of([words(1, 50) + zeros]), part_of([words(2, 50) + zeros]))
    assert found.near == 0  # of its runs all but two are its own
    header = words(3, 60)
    train = [header + words(1000 + n, 30) for n in range(2000)]
    found = leaks_of(part_of(train), part_of([header + words(9000 + n, 30) for n in range(200)]))
    assert found.near == 200
    assert len(found.pairs) == 100
    assert time.perf_counter() - began < 10


def test_the_training_document_that_shares_most_is_named() -> None:
    header = words(3, 60)
    own = words(77, 30)
    train = [header + words(1000 + n, 30) for n in range(50)]
    train[31] = header + own
    found = leaks_of(part_of(train), part_of([header + own + words(5, 3)]))
    assert found.pairs[0].train_record == 31


def test_unknown_words_are_not_the_same_word() -> None:
    found = leaks_of(part_of([[0] * 40]), part_of([[0] * 50]))
    assert (found.exact, found.near) == (0, 0)


def test_nothing_left_is_said() -> None:
    held_out = part_of([TRAIN[1], TRAIN[2]])
    found = leaks_of(part_of(TRAIN), held_out)
    with pytest.raises(DataError, match=r"all 2 documents .* leave --drop-leaks out"):
        drop_documents(held_out, found.documents)


DAMAGED = [
    "",
    "null",
    "3",
    "[]",
    "{}",
    '{"documents": 3}',
    "\xff",
    '{"pairs": [], "documents": "x"}',
]


@pytest.fixture
def job(tiny_tokenizer: Path, paragraphs, tmp_path: Path) -> dict[str, object]:
    texts = paragraphs(30)
    return {
        "model": {"tokenizer": str(tiny_tokenizer)},
        "data": texts,
        "eval_data": [texts[3] + " And a little more.", "Something else."],
        "cache_dir": tmp_path,
    }


def prepared(job: dict[str, object]) -> tuple[dict[str, int], Path]:
    result = nextfill.prepare(**job)
    (file,) = Path(result.store).glob("leaks-*.json")
    return result.ledger["leaks"], file


def test_what_was_found_is_remembered(job: dict[str, object], monkeypatch) -> None:
    leaks, _ = prepared(job)
    assert leaks["exact"] + leaks["near"] == 1

    def never(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(known, "find_leaks", never)
    assert prepared(job)[0] == leaks


def test_other_numbers_in_it_are_not_believed(job: dict[str, object]) -> None:
    leaks, file = prepared(job)
    whole = file.read_text("utf-8")
    facts = json.loads(whole)["facts"]
    changed = 0
    for name, number in facts.items():
        if isinstance(number, int):
            other = whole.replace(f'"{name}": {number}', f'"{name}": {number + 1}')
            assert other != whole
            file.write_text(other, "utf-8")
            assert prepared(job)[0] == leaks
            changed += 1
    assert changed >= 2


@pytest.mark.parametrize("damaged", DAMAGED)
def test_a_damaged_memory_is_made_anew(job: dict[str, object], damaged: str) -> None:
    leaks, file = prepared(job)
    whole = json.loads(file.read_text("utf-8"))
    file.write_bytes(damaged.encode("latin-1"))
    assert prepared(job)[0] == leaks
    assert json.loads(file.read_text("utf-8")) == whole
    assert not list(file.parent.glob(".leaks-*"))
