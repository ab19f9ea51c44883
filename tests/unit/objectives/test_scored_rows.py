"""The rows of a pseudo-log-likelihood: what is hidden of which piece, and what is the target."""

from __future__ import annotations

from itertools import chain
from types import SimpleNamespace

import numpy as np
import pytest

from nextfill.core.errors import ConfigError
from nextfill.data.packing.block_plan import Frame
from nextfill.data.packing.block_reader import NO_TARGET
from nextfill.data.store.token_store import DOCUMENT, TokenStore
from nextfill.objectives.scored_rows import pseudo_rows

CLS, SEP, MASK, PAD = 101, 102, 103, 100
FRAME = Frame((CLS,), (SEP,), each_piece=True)
TOKENS = ([1, 2, 3, 4, 5], [], [6], [7, 8, 9])
STARTS = ([1, 0, 1, 0, 0], [], [1], [1, 0, 0])


@pytest.fixture
def store(tmp_path):
    """Four documents in two shards, one of them empty."""
    shards = []
    for number, documents in enumerate((TOKENS[:3], TOKENS[3:])):
        folder = tmp_path / f"shard-{number:05d}"
        folder.mkdir()
        rows = np.zeros(len(documents), DOCUMENT)
        rows["tokens"] = [len(document) for document in documents]
        rows["offset"] = np.cumsum(rows["tokens"]) - rows["tokens"]
        np.save(folder / "documents.npy", rows)
        np.array([*chain(*documents)], np.uint16).tofile(folder / "tokens.bin")
        shards.append({"documents": len(documents), "tokens": int(rows["tokens"].sum())})
    totals = {"documents": 4, "tokens": 9}
    return TokenStore(tmp_path, {"dtype": "uint16", "shards": shards, "totals": totals})


@pytest.fixture
def rows(store):
    starts = tuple(np.array([*chain(*part)], bool) for part in (STARTS[:3], STARTS[3:]))

    def make(metric, block_size=16, selected=(0, 1, 2, 3), **settings):
        ids = {"pad_id": PAD, "mask_id": MASK, "word_starts": starts, **settings}
        numbers = np.array(selected, np.int64)
        return pseudo_rows(store, numbers, block_size=block_size, frame=FRAME, metric=metric, **ids)

    return make


def shown(rows, numbers):
    """Return the ids of some rows without their padding, and where and what their targets are."""
    batch = rows.batch(np.array(numbers, np.int64))
    assert np.array_equal(batch.input_ids == PAD, batch.document_ids == -1)
    assert np.array_equal(batch.labels.shape, batch.input_ids.shape)
    assert np.all((batch.labels != NO_TARGET).sum(axis=1) == 1)
    ids = [row[row != PAD].tolist() for row in batch.input_ids]
    targets = [(int(at), int(row[at])) for row in batch.labels for at in np.flatnonzero(row >= 0)]
    return SimpleNamespace(ids=ids, targets=targets, batch=batch)


def test_one_row_a_token_in_their_order(rows):
    made = rows("original")
    assert made.document.tolist() == [0] * 5 + [2] + [3] * 3
    assert made.length.tolist() == [7] * 5 + [3] + [5] * 3
    assert set(made.targets.tolist()) == {1}
    assert shown(made, range(9)).targets == [
        (1, 1), (2, 2), (3, 3), (4, 4), (5, 5), (1, 6), (1, 7), (2, 8), (3, 9),
    ]  # fmt: skip


def test_original_hides_the_token_alone(rows):
    assert shown(rows("original", word_starts=None), [0, 3, 5]).ids == [
        [CLS, MASK, 2, 3, 4, 5, SEP],
        [CLS, 1, 2, 3, MASK, 5, SEP],
        [CLS, MASK, SEP],
    ]


def test_within_word_hides_what_follows_in_the_word_as_well(rows):
    assert shown(rows("within-word"), range(9)).ids == [
        [CLS, MASK, MASK, 3, 4, 5, SEP],
        [CLS, 1, MASK, 3, 4, 5, SEP],
        [CLS, 1, 2, MASK, MASK, MASK, SEP],
        [CLS, 1, 2, 3, MASK, MASK, SEP],
        [CLS, 1, 2, 3, 4, MASK, SEP],
        [CLS, MASK, SEP],
        [CLS, MASK, MASK, MASK, SEP],
        [CLS, 7, MASK, MASK, SEP],
        [CLS, 7, 8, MASK, SEP],
    ]


def test_a_long_document_comes_in_framed_pieces(rows):
    """A word that a piece cuts is hidden within it alone."""
    made = rows("within-word", block_size=6, selected=[0])
    assert made.length.tolist() == [6, 6, 6, 6, 3]
    found = shown(made, range(5))
    assert found.ids[2:] == [
        [CLS, 1, 2, MASK, MASK, SEP],
        [CLS, 1, 2, 3, MASK, SEP],
        [CLS, MASK, SEP],
    ]
    assert found.targets == [(1, 1), (2, 2), (3, 3), (4, 4), (1, 5)]


@pytest.mark.parametrize("metric", ["original", "within-word"])
def test_a_row_is_the_same_in_any_batch(rows, metric):
    made = rows(metric, block_size=6)
    together = shown(made, [8, 2, 2, 0, 4, 5])
    alone = [shown(made, [number]) for number in (8, 2, 2, 0, 4, 5)]
    assert together.ids == [one.ids[0] for one in alone]
    assert together.targets == [one.targets[0] for one in alone]
    later = made.between(5, 9)
    assert later.document.tolist() == [2, 3, 3, 3]
    assert shown(later, [0, 3]).ids == [shown(made, [5]).ids[0], shown(made, [8]).ids[0]]


def test_what_cannot_be(rows):
    with pytest.raises(ConfigError, match="2 special tokens around a text"):
        rows("original", block_size=2)
    with pytest.raises(ValueError, match="where words begin"):
        rows("within-word", word_starts=None)


def test_rows_take_no_memory_until_their_batch_is_made(tmp_path):
    """A document of a million tokens would be 16 terabytes of rows."""
    folder = tmp_path / "shard-00000"
    folder.mkdir()
    count = 1_000_000
    one = np.zeros(1, DOCUMENT)
    one["tokens"] = count
    np.save(folder / "documents.npy", one)
    np.zeros(count, np.uint16).tofile(folder / "tokens.bin")
    sizes = {"documents": 1, "tokens": count}
    store = TokenStore(tmp_path, {"dtype": "uint16", "shards": [sizes], "totals": sizes})
    made = pseudo_rows(
        store,
        np.array([0]),
        block_size=count + 2,
        frame=FRAME,
        pad_id=PAD,
        mask_id=MASK,
        metric="original",
    )
    batch = made.batch(np.array([999_999]))
    assert np.flatnonzero(batch.input_ids[0] == MASK).tolist() == [1_000_000]
