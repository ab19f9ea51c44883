"""Pieces of a document that follow each other are one document, to train on and to count."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
from transformers import AutoTokenizer

import nextfill
from nextfill.config import DataConfig
from nextfill.core.progress import Silent
from nextfill.data.preparation import prepare_data
from nextfill.data.store.pieces import further_pieces
from nextfill.data.store.word_starts import open_word_starts
from nextfill.data.train_test_split import split_validation

NUMBER = 3


@pytest.fixture
def folder(tmp_path, paragraphs):
    """Three files, of which the ends are held out."""
    made = tmp_path / "chapters"
    made.mkdir()
    for at in range(NUMBER):
        (made / f"{at}.txt").write_text("\n\n".join(paragraphs(40, seed=at + 1)))
    return made


@pytest.fixture
def tokenizer(tiny_tokenizer):
    return AutoTokenizer.from_pretrained(tiny_tokenizer)


@pytest.fixture
def prepared(folder, tokenizer, tmp_path):
    data = DataConfig(source=str(folder))
    return prepare_data(data, tokenizer, seed=0, cache=tmp_path / "cache")


def ids_of(part):
    return [part.store.tokens(number).tolist() for number in part.documents.tolist()]


def test_pieces_of_a_training_document_are_one_with_all_of_its_tokens(prepared):
    assert len(prepared.train.documents) == 2 * NUMBER
    joined = prepared.joined()
    pieces = ids_of(prepared.train)
    assert ids_of(joined.train) == [one + two for one, two in zip(pieces[::2], pieces[1::2])]  # noqa: B905
    for size in ("bytes", "characters", "words"):
        assert joined.train.rows[size].sum() == prepared.train.rows[size].sum()
    assert ids_of(joined.held_out) == ids_of(prepared.held_out)
    assert ids_of(joined.joined().train) == ids_of(joined.train)


def test_what_is_set_apart_between_two_pieces_keeps_them_apart(prepared):
    divided = split_validation(prepared, 0.05, seed=0)
    assert len(divided.joined().train.documents) == len(divided.validation.documents) == NUMBER


def test_whole_documents_of_a_validation_part_are_joined_too(prepared):
    divided = split_validation(prepared, 1, seed=0).joined()
    assert (len(divided.validation.documents), len(divided.train.documents)) == (1, NUMBER - 1)


def test_texts_of_one_record_that_nobody_cut_stay_apart(tokenizer, tmp_path):
    source = tmp_path / "a.jsonl"
    rows = (f'{{"text": ["one {n}", "two {n}"]}}\n' for n in range(12))
    source.write_text("".join(rows))
    data = DataConfig(source=str(source), explode=True)
    part = prepare_data(data, tokenizer, seed=0, cache=tmp_path / "cache", whole=True).train
    assert not further_pieces(part.store).any()
    assert len(part.joined().documents) == len(part.documents)


def test_of_several_sources_only_the_cut_one_is_joined(folder, tokenizer, tmp_path, paragraphs):
    source = tmp_path / "a.jsonl"
    source.write_text("".join(f'{{"text": ["one {n}", "two {n}"]}}\n' for n in range(20)))
    each = [
        DataConfig(source=str(folder)),
        DataConfig(source=str(source), explode=True, text_field="text"),
    ]
    data = DataConfig(sources=each)
    prepared = prepare_data(data, tokenizer, seed=0, cache=tmp_path / "cache")
    assert further_pieces(prepared.train.store).sum() == 2 * NUMBER
    joined = prepared.joined()
    assert len(joined.train.documents) == NUMBER + 2 * 18
    assert prepared.sources[folder.name]["train_documents"] == NUMBER


def test_words_begin_where_they_did(prepared, tokenizer):
    joined = prepared.joined().train.store
    found = open_word_starts(joined, tokenizer)
    file = joined.folder(0) / "word-starts.bin"
    file.unlink()
    again = open_word_starts(prepared.train.store, tokenizer)
    assert all(map(np.array_equal, found, again))


def test_a_copy_for_another_process_is_joined_as_well(prepared):
    joined = prepared.joined().train
    again = copy.deepcopy(joined.store)
    assert np.array_equal(again.documents, joined.store.documents)


@pytest.mark.parametrize("packing", ["best-fit", "concat", "pad"])
def test_no_end_of_text_stands_within_a_document(packing, folder, tiny_model, tokenizer, tmp_path):
    blocks = nextfill.packed_dataset(
        data=folder,
        model=str(tiny_model),
        part="train",
        packing=packing,
        block_size=64,
        cache_dir=str(tmp_path / "cache"),
    )
    for one in (blocks, copy.deepcopy(blocks)):
        ids = np.concatenate([row["input_ids"].numpy() for row in one])
        # The tiny tokenizer's start and end are the same token.
        assert (ids == tokenizer.eos_token_id).sum() == 2 * NUMBER


def test_ledger_and_words_count_documents(folder, tiny_model, tmp_path, caplog):
    settings = {"model": str(tiny_model), "cache_dir": str(tmp_path / "cache")}
    ledger = nextfill.prepare(data=folder, **settings).ledger
    assert (ledger["files"], ledger["documents"], ledger["pieces"]) == (NUMBER, NUMBER, 2 * NUMBER)
    assert ledger["train_documents"] == ledger["held_out_documents"] == NUMBER
    assert ledger["tokens"] + ledger["separators"] == ledger["trained"] + ledger["evaluated"]
    entries = nextfill.list_cache(cache_dir=settings["cache_dir"]).entries
    [entry] = [one for one in entries if one.kind == "tokens"]
    assert entry.documents == NUMBER


class Notes(Silent):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def on_note(self, message: str) -> None:
        self.notes.append(message)


@pytest.mark.parametrize("keep", ["last", "best"])
def test_a_run_says_how_many_documents_it_trains_on(folder, tiny_model, tmp_path, keep):
    seen = Notes()
    result = nextfill.train(
        data=folder,
        model=str(tiny_model),
        cache_dir=str(tmp_path / "cache"),
        out=str(tmp_path / "run"),
        max_steps=1,
        block_size=32,
        keep=keep,
        observer=seen,
    )
    [note] = [one for one in seen.notes if "blocks of 32 tokens" in one]
    assert f"from {NUMBER} documents; the ends of {NUMBER} held out" in note
    counts = {"documents": NUMBER, "train_documents": NUMBER, "held_out_documents": NUMBER}
    counts |= {"pieces": NUMBER * (2 + (keep == "best"))}
    assert {key: result.ledger[key] for key in counts} == counts
    page = Path(result.run, "report.html").read_text("utf-8")
    assert "Pieces of documents" in page
    assert "not accounted for" not in page
