from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from nextfill.config import DataConfig
from nextfill.core.errors import ConfigError, DataError
from nextfill.data.store.token_store import DOCUMENT
from nextfill.data.train_test_split import held_out, split_off
from tests.properties import examples


def make(records: list[int], texts: list[int], blank: tuple[int, ...] = ()) -> NDArray[np.void]:
    """Documents by record and text; texts in ``blank`` have no words and no tokens."""
    rows = np.zeros(len(records), DOCUMENT)
    rows["record"] = records
    rows["hash"][:, 0] = texts
    rows["hash"][:, 1] = 99
    rows["words"] = rows["tokens"] = ~np.isin(texts, blank)
    return rows


def components(records: list[int], texts: list[int]) -> list[set[int]]:
    """The groups of records, found the slow way."""
    groups: list[set[int]] = []
    for record in set(records):
        mine = {t for r, t in zip(records, texts, strict=True) if r == record}
        tied = [
            g for g in groups if mine & {t for r, t in zip(records, texts, strict=True) if r in g}
        ]
        groups = [g for g in groups if g not in tied] + [set.union({record}, *tied)]
    return groups


@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 60)), min_size=1, max_size=50),
    st.floats(0.05, 0.95),
    st.integers(0, 5),
)
@examples(300)
def test_groups_stay_on_one_side(pairs: list[tuple[int, int]], share: float, seed: int) -> None:
    records, texts = [p[0] for p in pairs], [p[1] for p in pairs]
    groups = components(records, texts)
    wanted = round(share * len(set(records)))
    try:
        held = held_out(make(records, texts), share, seed)
    except DataError:
        # Only where nothing could be right: no group fits, or all are wanted.
        assert wanted < min(map(len, groups)) or wanted == len(set(records))
        return
    inside = {r for r, h in zip(records, held, strict=True) if h}
    outside = {r for r, h in zip(records, held, strict=True) if not h}
    assert not inside & outside
    assert all(group <= inside or group <= outside for group in groups)
    left_out = [len(group) for group in groups if group <= outside]
    assert 0 <= wanted - len(inside) < min(left_out)


def test_exact_without_repeated_texts() -> None:
    documents = make(list(range(1000)), list(range(1000)))
    assert held_out(documents, 0.2, 0).sum() == 200
    assert held_out(documents, 37, 0).sum() == 37
    assert held_out(documents, 1, 0).sum() == 1


def test_records_are_counted_not_documents() -> None:
    documents = make(np.repeat(np.arange(100), 7).tolist(), list(range(700)))
    held = held_out(documents, 0.1, 0)
    assert len(set(documents["record"][held].tolist())) == 10
    assert held.sum() == 70


def test_half_of_the_hash_is_not_enough_to_tie() -> None:
    documents = make(list(range(100)), [0] * 100)
    documents["hash"][:, 1] = np.arange(100)
    assert held_out(documents, 0.5, 0).sum() == 50


def test_equal_hashes_are_found_among_half_equal_ones() -> None:
    documents = make(list(range(60)), [0] * 60)
    documents["hash"][:, 1] = np.arange(60) % 20
    held = held_out(documents, 0.5, 0)
    assert held.sum() == 30
    assert np.array_equal(held[:20], held[20:40])
    assert np.array_equal(held[:20], held[40:])


def test_long_chain_is_one_group() -> None:
    # Record i shares a text with record i + 1: 20,000 records, in a random order.
    order = np.random.default_rng(0).permutation(20_000)
    records = np.concatenate([order, np.roll(order, 1), [20_000]])
    texts = np.concatenate([np.arange(20_000), np.arange(20_000), [20_000]])
    held = held_out(make(records.tolist(), texts.tolist()), 0.2, 0)
    assert records[held].tolist() == [20_000]


def test_blank_texts_tie_nothing() -> None:
    records = [*range(100), *range(100)]
    texts = [*range(1, 101), *[0] * 100]
    held = held_out(make(records, texts, blank=(0,)), 0.3, 0)
    assert held[:100].sum() == 30
    assert np.array_equal(held[:100], held[100:])


def test_the_seed_decides_and_nothing_else() -> None:
    documents = make(list(range(300)), list(range(300)))
    first = held_out(documents, 0.2, 0)
    assert np.array_equal(first, held_out(documents, 0.2, 0))
    assert not np.array_equal(first, held_out(documents, 0.2, 1))
    more = held_out(documents, 0.4, 0)
    assert np.all(more[first]), "a larger share should contain the smaller one"
    # Written down once: a change would move documents between the sides of old runs.
    assert np.flatnonzero(held_out(make(list(range(10)), list(range(10))), 3, 5)).tolist() == GOLDEN


GOLDEN = [0, 4, 7]


@pytest.mark.parametrize("size", [0.0, -0.5, 1.5, float("nan")])
def test_size_that_is_none(size: float) -> None:
    with pytest.raises(ConfigError, match="share between 0 and 1"):
        held_out(make([0, 1], [0, 1]), size, 0)


@pytest.mark.parametrize(
    ("size", "message"),
    [
        (0.1, "no held-out document.*type a larger --test-size"),
        (3, "no training document.*type a smaller one"),
        (50, "no training document"),
    ],
)
def test_a_side_without_text(size: float, message: str) -> None:
    with pytest.raises(DataError, match=message):
        held_out(make([0, 1, 2], [0, 1, 2]), size, 0)


def test_one_group_cannot_be_divided() -> None:
    with pytest.raises(DataError, match=r"all 2 records are the same text,.*--eval-data"):
        held_out(make([0, 1], [5, 5]), 0.5, 0)
    chain = make([0, 0, 1, 1, 2], [5, 6, 6, 7, 7])
    with pytest.raises(DataError, match=r"each of 3 records has a text in common.*--eval-data"):
        held_out(chain, 0.5, 0)
    with pytest.raises(DataError, match=r"there is 1 record; hold out"):
        held_out(make([0], [5]), 0.5, 0)


def test_only_blank_documents_on_a_side() -> None:
    with pytest.raises(DataError, match="document with any text"):
        held_out(make([0, 1], [0, 0], blank=(0,)), 0.5, 0)


def test_text_of_white_space_alone_is_divided_or_refused() -> None:
    blank = make([0, 1, 2], [0, 1, 2], blank=(0, 1, 2))
    with pytest.raises(DataError, match="document with any text"):
        split_off(blank, DataConfig(), 0)


def test_where_each_text_is_there_three_times_a_size_that_nobody_typed_is_one_of_them():
    rows = np.zeros(24, DOCUMENT)
    rows["record"], rows["tokens"], rows["words"] = np.arange(24), 9, 9
    rows["hash"][:, 0] = np.arange(24) // 3
    apart = split_off(rows, DataConfig(), 0)
    assert apart.sum() == 3
    assert len(set(rows["hash"][apart, 0])) == 1
    with pytest.raises(DataError, match="type a larger --test-size"):
        split_off(rows, DataConfig(test_size=0.1), 0)
