"""Which rows are scored together."""

from __future__ import annotations

import numpy as np

from nextfill.evaluation.rows import _batches_by_length
from nextfill.evaluation.scorer import _whole_documents


def batches(lengths, heads, *, batch_size, most_heads):
    found = _batches_by_length(np.array(lengths), np.array(heads), batch_size, most_heads)
    return [numbers.tolist() for numbers in found]


def test_rows_of_like_length_together_the_longest_first():
    lengths = [3, 9, 3, 7, 9]
    assert batches(lengths, lengths, batch_size=2, most_heads=100) == [[1, 4], [3, 0], [2]]


def test_no_more_rows_than_their_logits_have_room_for():
    lengths = [5, 5, 5, 1, 1, 1, 1]
    assert batches(lengths, lengths, batch_size=4, most_heads=10) == [[0, 1], [2, 3], [4, 5, 6]]
    assert batches(lengths, lengths, batch_size=4, most_heads=1)[:3] == [[0], [1], [2]]


def test_rows_with_one_target_fill_batches_whatever_their_length():
    assert batches([500] * 5, [1] * 5, batch_size=4, most_heads=10) == [[0, 1, 2, 3], [4]]


def test_groups_end_where_a_document_does():
    document = np.repeat([2, 3, 5, 9], [3, 1, 4, 1])
    assert list(_whole_documents(document, 1)) == [(0, 3), (3, 4), (4, 8), (8, 9)]
    assert list(_whole_documents(document, 4)) == [(0, 4), (4, 8), (8, 9)]
    assert list(_whole_documents(document, 5)) == [(0, 8), (8, 9)]
    assert list(_whole_documents(document, 99)) == [(0, 9)]
    assert list(_whole_documents(document[:0], 5)) == []
