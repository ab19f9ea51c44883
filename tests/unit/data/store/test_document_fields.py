"""Fields of documents are read from the shards, and no row of them stays in memory."""

from __future__ import annotations

import json

import numpy as np
import pytest
from transformers import AutoTokenizer

from nextfill.config import BlocksConfig, DataConfig
from nextfill.data.contamination.leaks import cached_leaks
from nextfill.data.ledger import make_ledger
from nextfill.data.parts import Part
from nextfill.data.preparation import prepare_data
from nextfill.data.special_tokens import count_blocks, evaluation_frame, training_frame
from nextfill.data.store import writer
from nextfill.data.store.document_fields import DocumentFields, marked_fields, values
from nextfill.data.store.store_cache import join_stores
from nextfill.data.store.token_store import DOCUMENT, TokenStore


@pytest.fixture(scope="module")
def tokenizer(tiny_tokenizer):
    return AutoTokenizer.from_pretrained(tiny_tokenizer)


@pytest.fixture
def stores(tokenizer, tmp_path, paragraphs, monkeypatch):
    """Two stores, of shards of seven documents."""
    monkeypatch.setattr(writer, "SHARD_DOCUMENTS", 7)
    found = []
    for seed in (1, 2):
        texts = paragraphs(30, seed=seed)
        source = tmp_path / f"{seed}.jsonl"
        lines = [*texts, *texts[:3], ""]
        source.write_text("".join(json.dumps({"text": text}) + "\n" for text in lines))
        data = DataConfig(source=str(source))
        ready = prepare_data(data, tokenizer, seed=0, cache=tmp_path / "cache")
        found.append(TokenStore.open(ready.train.store.path))
    assert [one.num_shards for one in found] == [5, 5]
    return found


@pytest.mark.parametrize("name", DOCUMENT.names)
def test_a_field_is_that_of_the_rows(name, stores):
    for number, store in enumerate([*stores, join_stores(stores)]):
        rows = TokenStore(store.path, store.meta).documents
        numbers = np.flatnonzero(np.random.default_rng(number).random(len(rows)) < 0.6)
        for some in (np.arange(len(rows)), numbers, numbers[:1], numbers[:0]):
            found = values(store, name, some)
            assert np.array_equal(found, rows[name][some])
            assert found.dtype == DOCUMENT[name].base
        assert "documents" not in vars(store)
        assert store.documents is not None  # and from rows in memory the same
        assert np.array_equal(values(store, name, numbers), rows[name][numbers])


def test_marked_fields_are_those_of_rows_in_memory_and_on_the_disk(stores):
    part = Part.whole(stores[0])
    marked = part.fields["words"] > part.fields["words"].mean()
    for rows in (part.fields, part.rows):
        assert np.array_equal(marked_fields(rows, marked)["hash"], part.rows["hash"][marked])
    assert isinstance(marked_fields(part.fields, marked), DocumentFields)


def test_preparing_holds_no_rows(tokenizer, tmp_path, paragraphs):
    source = tmp_path / "a.jsonl"
    lines = [json.dumps({"text": text}) for text in paragraphs(60)]
    source.write_text("\n".join([*lines, *lines[:5]]))
    data = DataConfig(source=str(source))
    ready = prepare_data(data, tokenizer, seed=0, cache=tmp_path / "cache").joined()
    cached_leaks(ready.train, ready.held_out, tokenizer)
    frame = training_frame(tokenizer, end_of_document=True)
    plan = count_blocks(ready.train, BlocksConfig(block_size=16), frame)
    assert make_ledger(ready, plan, evaluation_frame(tokenizer))["copies"] == 5
    assert ready.train.store is ready.held_out.store
    assert "documents" not in vars(ready.train.store)
