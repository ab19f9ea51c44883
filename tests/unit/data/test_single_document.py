"""One document gives its end to the held-out part, and few documents give one of them."""

from __future__ import annotations

import numpy as np
import pytest

from nextfill.config import DataConfig
from nextfill.data.document import Document, ReadCounts
from nextfill.data.single_document import ends, place_to_cut, with_end_apart
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
    pieces = [one.text for one in with_end_apart(iter([Document(text, 0)]), counts)]
    assert "".join(pieces) == text
    assert len(pieces) == 2
    assert counts.documents == 1
    assert 0.05 < len(pieces[1]) / len(text) < 0.2
    assert not pieces[1][0].isspace()


def test_a_text_without_a_break_is_not_cut():
    assert place_to_cut("x" * 1000) == 0


def test_the_end_is_the_second_document_of_its_record():
    rows = np.zeros(4, DOCUMENT)
    rows["record"] = [0, 1, 1, 2]
    assert ends(rows).tolist() == [False, False, True, False]


@pytest.mark.parametrize("number", range(2, 10))
def test_one_of_few_documents_is_held_out(number):
    rows = np.zeros(number, DOCUMENT)
    rows["record"], rows["tokens"], rows["words"] = np.arange(number), 9, 9
    rows["hash"][:, 0] = np.arange(number)
    assert split_off(rows, DataConfig(), 0).sum() == 1
