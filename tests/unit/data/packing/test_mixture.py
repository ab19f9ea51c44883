"""Mixtures: exact counts of every source's blocks, epoch after epoch."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextfill.core.errors import DataError
from nextfill.data.packing.mixture import Mixture, by_repeats, by_weight, on_top
from tests.properties import examples

SIZES = st.lists(st.integers(1, 40), min_size=1, max_size=5)


def blocks_of(sizes):
    """Return the source of each block, and its shard: some of three blocks, some of ten."""
    source = np.repeat(np.arange(len(sizes)), sizes).astype(np.int64)
    shard = np.concatenate(
        [1000 * n + np.arange(size) // (3 + 7 * (n % 2)) for n, size in enumerate(sizes)]
    ).astype(np.int64)
    return source, shard


@examples(60)
@given(SIZES, st.data(), st.integers(0, 2**40), st.integers(1, 6))
def test_every_epoch_takes_so_many_of_each_and_every_pass_takes_each_block_once(
    sizes, data, seed, epochs
):
    source, shard = blocks_of(sizes)
    count = st.integers(1, 90)
    per_epoch = np.array([data.draw(count) for _ in sizes], np.int64)
    mixture = Mixture(source, per_epoch)
    drawn = [mixture.draws(shard, seed, epoch) for epoch in range(epochs)]
    for one in drawn:
        counts = np.bincount(source[one % len(source)], minlength=len(sizes))
        assert counts.tolist() == per_epoch.tolist()
    every = np.concatenate(drawn)
    assert len(np.unique(every)) == len(every)
    passes, numbers = np.divmod(every, len(source))
    for number, size in enumerate(sizes):
        of_source = passes[source[numbers] == number]
        whole, rest = divmod(len(of_source), size)
        counts = np.bincount(of_source, minlength=whole + 1)
        assert counts.tolist() == [size] * whole + [rest]
        assert (np.diff(of_source) >= 0).all()  # a pass ends before the next one begins
    cut = data.draw(st.integers(0, len(every)))
    taken = np.bincount(source[numbers[:cut]], minlength=len(sizes))
    assert mixture.taken(seed, cut).tolist() == taken.tolist()


@examples(60)
@given(SIZES, st.data())
def test_shares_are_met_within_a_block_and_the_counts_add_up(sizes, data):
    source, _ = blocks_of(sizes)
    weights = [data.draw(st.floats(0.01, 3)) for _ in sizes]
    names = [f"source {n}" for n in range(len(sizes))]
    exact = np.array(weights) / sum(weights) * len(source)
    if (exact < 1).any():  # which may be none of its blocks
        return
    mixture = by_weight(source, weights, names)
    assert mixture.num_draws == len(source)
    assert (np.abs(mixture.per_epoch - exact) < 1).all()


def test_sources_without_a_weight_share_the_rest_by_size():
    source = np.repeat([0, 1, 2], [10, 60, 30])
    assert by_weight(source, [0.1, None, None], ["a", "b", "c"]).per_epoch.tolist() == [10, 60, 30]
    assert by_weight(source, [0.55, None, None], ["a", "b", "c"]).per_epoch.tolist() == [55, 30, 15]


def test_repeats_may_be_parts():
    source = np.repeat([0, 1], [10, 7])
    assert by_repeats(source, [2.5, 0.5], ["a", "b"]).per_epoch.tolist() == [25, 4]
    assert by_repeats(source, [None, 0.001], ["a", "b"]).per_epoch.tolist() == [10, 1]


def test_a_source_without_a_block_is_named():
    with pytest.raises(DataError, match=r"^b fills no block among 3 training blocks"):
        by_weight(np.array([0, 0, 2]), [0.5, 0.2, 0.3], ["a", "b", "c"])


def test_the_order_is_keyed_by_seed_and_epoch():
    source, shard = blocks_of([30, 30])
    mixture = Mixture(source, np.array([30, 30]))
    orders = {mixture.draws(shard, seed, epoch).tobytes() for seed in (0, 1) for epoch in (0, 1)}
    assert len(orders) == 4


def test_a_share_below_a_block_is_named():
    with pytest.raises(DataError, match=r"^b: its weight, 0\.001, is less than one of the 20"):
        by_weight(np.repeat([0, 1], [10, 10]), [None, 0.001], ["a", "b"])


@pytest.mark.parametrize("share", [0.05, 0.5])
def test_general_text_comes_on_top(share):
    source = np.repeat([0, 1, 2], [10, 28, 500])
    first = source[source < 2]
    for others in (
        by_repeats(first, [2, None], ["a", "b"]),
        by_weight(first, [None, 0.5], ["a", "b"]),
    ):
        mixture = on_top(others, source, share, ["a", "b", "c"])
        own, general = mixture.per_epoch[:2].sum(), mixture.per_epoch[2]
        assert own in (48, 38)
        assert abs(general - share * (own + general)) <= 1
