"""The guide's data: every answer's tokens, and where every one of them goes."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer

import nextfill
from nextfill.data.store.token_store import TokenStore

RECORDS = 5411
GUIDE = {"packing": "concat", "window_rows": 1000, "end_of_document": False, "isolate": False}


@pytest.fixture
def eli5(test_data: Path) -> Path:
    return test_data / "eli5_category" / "eli5-category-test.json.gz"


@pytest.fixture
def gpt2(test_data: Path) -> Path:
    return test_data / "tokenizers" / "gpt2"


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def prepare(eli5: Path, gpt2: Path, cache: Path, **blocks: Any) -> nextfill.PrepareResult:
    return nextfill.prepare(
        data=eli5,
        tokenizer=str(gpt2),
        text_field="answers.text",
        test_size=0.2,
        cache_dir=cache,
        block_size=128,
        **blocks,
    )


def test_ids_equal_those_of_tokenizers(eli5: Path, gpt2: Path, cache: Path) -> None:
    store = TokenStore.open(Path(prepare(eli5, gpt2, cache).store))
    with gzip.open(eli5, "rt", encoding="utf-8") as file:
        texts = [" ".join(record["answers"]["text"]) for record in json.load(file)]
    assert len(texts) == store.num_documents == RECORDS
    exact = Tokenizer.from_file(str(gpt2 / "tokenizer.json"))
    encoded = exact.encode_batch_fast(texts, add_special_tokens=False)
    for number, (text, encoding) in enumerate(zip(texts, encoded, strict=True)):
        assert store.tokens(number).tolist() == encoding.ids, text
    rows = store.documents
    assert np.array_equal(rows["bytes"], [len(text.encode()) for text in texts])
    assert np.array_equal(rows["characters"], [len(text) for text in texts])
    assert np.array_equal(rows["words"], [len(text.split()) for text in texts])


@pytest.mark.parametrize(
    "blocks",
    [{"packing": "concat"}, {"packing": "best-fit"}, {"packing": "pad"}, GUIDE],
    ids=["concat", "best-fit", "pad", "guide"],
)
def test_the_ledger_adds_up(eli5: Path, gpt2: Path, cache: Path, blocks: dict[str, Any]) -> None:
    prepared = prepare(eli5, gpt2, cache, **blocks)
    ledger = prepared.ledger
    assert ledger["records"] == RECORDS
    assert ledger["documents"] + sum(ledger["skipped"].values()) == RECORDS
    assert ledger["train_documents"] + ledger["held_out_documents"] == ledger["documents"]
    assert ledger["held_out_documents"] == round(0.2 * RECORDS)
    dropped = sum(ledger["dropped"].values())
    assert (
        ledger["tokens"] + ledger["separators"] == ledger["trained"] + ledger["evaluated"] + dropped
    )
    assert ledger["trained"] + ledger["padding"] == prepared.blocks * 128
    assert (dropped > 0) == (blocks is GUIDE)
    if blocks is GUIDE:
        assert dropped < 5 * 128  # the tails of five windows
        assert ledger["padding"] == 0
