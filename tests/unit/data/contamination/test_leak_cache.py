"""Leaks are looked for once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import nextfill
from nextfill.data.contamination import leak_cache as known

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
