"""Few documents, or one that is most of the text, give their ends to the held-out part."""

from __future__ import annotations

import numpy as np
import pytest

import nextfill
from nextfill.config import DataConfig
from nextfill.data.document import Document, ReadCounts
from nextfill.data.document_ends import (
    EndShares,
    ends,
    ends_apply,
    place_to_cut,
    whose_ends,
    with_ends_apart,
)
from nextfill.data.store.token_store import DOCUMENT
from nextfill.data.train_test_split import split_off


@pytest.mark.parametrize(
    "text",
    [
        "A paragraph of words.\n\n" * 30,
        "A paragraph of words.\r\n\r\n" * 30,
        "a line\n" * 30,
        "A sentence. " * 30,
        "words " * 30,
    ],
)
def test_the_end_is_about_a_tenth_and_nothing_is_lost(text):
    counts = ReadCounts()
    shares = EndShares(0.1, 0.05)
    pieces = [one.text for one in with_ends_apart(iter([Document(text, 0)]), counts, shares)]
    assert "".join(pieces) == text
    assert len(pieces) == 3
    assert counts.documents == 2
    assert 0.05 < len(pieces[2]) / len(text) < 0.2
    assert 0.02 < len(pieces[1]) / len(text) < 0.1
    assert not any(piece[0].isspace() for piece in pieces)


@pytest.mark.parametrize("share", [0.01, 0.1, 0.3, 0.5, 0.9, 0.99])
def test_a_typed_share_is_met_nearly(share):
    text = "A paragraph of words.\n\n" * 1000
    assert 1 - place_to_cut(text, share) / len(text) == pytest.approx(share, abs=0.002)


def test_a_document_without_words_stays_one():
    shares = EndShares(0.1, 0.05)
    pieces = list(
        with_ends_apart(iter([Document("", 0), Document(" \n\n ", 1)]), ReadCounts(), shares)
    )
    assert [(one.text, one.record) for one in pieces] == [("", 0), (" \n\n ", 1)]


def test_a_text_without_a_break_is_not_cut():
    assert place_to_cut("x" * 1000) == 0


def test_the_end_is_the_last_piece_of_its_record():
    rows = np.zeros(7, DOCUMENT)
    rows["record"] = [0, 1, 1, 2, 3, 3, 3]
    apart = ends(rows)
    assert apart.tolist() == [False, False, True, False, False, False, True]
    assert ends(rows[~apart]).tolist() == [False, False, False, False, True]


def make_rows(*characters: int) -> np.ndarray:
    rows = np.zeros(len(characters), DOCUMENT)
    rows["record"], rows["characters"] = np.arange(len(rows)), characters
    rows["tokens"] = rows["words"] = rows["characters"]
    rows["hash"][:, 0] = np.arange(len(rows))
    return rows


@pytest.mark.parametrize("number", range(1, 14))
def test_of_five_documents_and_more_whole_ones_are_held_out(number):
    rows = make_rows(*[100] * number, 0)
    assert ends_apply(rows, DataConfig()) == (number < 5)
    if number >= 5:
        assert split_off(rows, DataConfig(), 0).sum() == 1


@pytest.mark.parametrize("number", [5, 9, 10, 40])
def test_a_document_of_more_than_a_quarter_is_no_side_by_itself(number):
    rows = make_rows(34 * number, *[100] * (number - 1))
    assert ends_apply(rows, DataConfig())
    assert not ends_apply(rows, DataConfig(test_size=0.2))


@pytest.mark.parametrize(
    ("number", "size", "expected"),
    [
        (1, 0.5, True),
        (1, 0.9, True),
        (3, 0.05, True),
        (3, 0.5, False),
        (3, 2, False),
        (40, 0.01, False),
    ],
)
def test_a_typed_size_holds_for_whole_documents_where_there_are_enough(number, size, expected):
    assert ends_apply(make_rows(*[100] * number), DataConfig(test_size=size)) == expected


def test_several_texts_of_one_record_are_not_cut():
    rows = make_rows(100, 100)
    rows["record"] = 0
    assert not ends_apply(rows, DataConfig())


@pytest.mark.parametrize(
    ("records", "words", "said"),
    [
        ([0, 0], [5, 5], ("the end of its only document", 1)),
        ([0, 0, 1], [5, 5, 0], ("the end of its only document", 1)),
        ([0, 0, 0, 1, 1], [5] * 5, ("the ends of its 2 documents", 2)),
        ([0, 1, 2, 2], [5] * 4, ("the end of 1 of its 3 documents", 1)),
        ([0, 1, 1, 2, 2], [5] * 5, ("the ends of 2 of its 3 documents", 2)),
    ],
)
def test_whose_ends_they_are_is_said_as_it_is(records, words, said):
    rows = np.zeros(len(records), DOCUMENT)
    rows["record"], rows["words"] = records, words
    assert whose_ends(rows) == said


def test_the_ledger_counts_the_held_out_ends(tiny_model, tmp_path):
    def ledger(number):
        folder = tmp_path / f"{number} chapters"
        folder.mkdir()
        for chapter in range(number):
            text = f"Chapter {chapter} goes on.\n\n" * 40
            (folder / f"{chapter}.txt").write_text(text + f"The end of {chapter}.\n")
        settings = {"model": str(tiny_model), "cache_dir": str(tmp_path / "cache")}
        return nextfill.prepare(data=folder, **settings).ledger

    assert ledger(4)["held_out_ends"] == 4
    assert "held_out_ends" not in ledger(8)
