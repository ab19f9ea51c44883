"""What each rank takes: micro-batches, documents to score, and what all must have in common."""

from __future__ import annotations

import numpy as np
import pytest

from nextfill.core.errors import ConfigError, RunError
from nextfill.data.parts import Part
from nextfill.objectives.batch import Batch
from nextfill.training.distributed.rank_environment import launched_rank
from nextfill.training.distributed.rank_reading import RankDivision
from nextfill.training.distributed.rank_scoring import share_of
from nextfill.training.distributed.ranks import (
    Command,
    Kind,
    ManyRanks,
    batch_checksum,
    check_batch,
    differences,
)
from nextfill.training.distributed.sharded_steps import ShardedRanks


class Store:
    """A store of documents of some lengths."""

    def __init__(self, lengths):
        self.documents = np.zeros(len(lengths), [("tokens", np.int64)])
        self.documents["tokens"] = lengths


@pytest.mark.parametrize("world", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("number", [0, 1, 2, 5, 40, 128])
def test_each_batch_is_read_by_one_rank_and_none_has_much_more(number, world):
    costs = np.random.default_rng(number).integers(1, 32 * 512, number)
    each = [RankDivision(ManyRanks(rank, world)).takes(costs) for rank in range(world)]
    assert np.array_equal(np.sum(each, axis=0), np.ones(number))
    loads = [int(costs[own].sum()) for own in each]
    assert max(loads) - min(loads) <= costs.max(initial=0)
    if number == 128:
        assert max(loads) < 1.02 * np.mean(loads)


@pytest.mark.parametrize("world", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("number", [0, 1, 2, 5, 40])
def test_each_document_is_scored_by_one_rank_in_order(number, world):
    rng = np.random.default_rng(number)
    store = Store(rng.integers(0, 50, number))
    part = Part(store, np.arange(number, dtype=np.int64))
    shares = [share_of(part, rank, world).documents for rank in range(world)]
    assert np.concatenate(shares).tolist() == part.documents.tolist()
    if number == 40:
        tokens = [int(store.documents["tokens"][one].sum()) for one in shares]
        assert max(tokens) - min(tokens) < 110


@pytest.mark.parametrize("world", [2, 3, 4])
@pytest.mark.parametrize("of_last", [300, 600, 100_000])
def test_the_last_rank_scores_less_where_it_makes_a_sample(of_last, world):
    store = Store(np.full(40, 49))  # and one between two
    part = Part(store, np.arange(40, dtype=np.int64))
    shares = [share_of(part, rank, world, of_last).documents for rank in range(world)]
    assert np.concatenate(shares).tolist() == part.documents.tolist()
    *others, last = [50 * len(one) for one in shares]
    assert others[0] == pytest.approx(min((2000 + of_last) / world, 2000), abs=100)
    assert last == pytest.approx(max(0, (2000 + of_last) / world - of_last), abs=100)


@pytest.mark.parametrize("count", [0, 1, 3, 4, 5, 8])
@pytest.mark.parametrize("world", [2, 3, 4])
def test_each_micro_batch_counts_once_and_shares_take_as_many_passes(count, world):
    numbers = [2 * number for number in range(count)]  # some have no target
    for kind in (ManyRanks, ShardedRanks):
        taken = [kind(rank, world).takes_of(numbers) for rank in range(world)]
        counted = [number for one in taken for number, counts in one if counts]
        assert sorted(counted) == numbers
        if kind is ShardedRanks:
            assert len({len(one) for one in taken}) == 1


def batch(first=1):
    ids = np.full((2, 3), first, np.int64)
    return Batch(ids, ids, ids, np.zeros_like(ids))


def test_another_batch_is_refused():
    command = Command(Kind.STEP, 4, batch_checksum(batch()))
    check_batch(ManyRanks(1, 2), command, batch())
    with pytest.raises(RunError, match="another batch at step 5 than rank 0"):
        check_batch(ManyRanks(1, 2), command, batch(2))


def test_what_differs_is_named_by_rank():
    same = {"data": "a", "model": "m"}
    assert differences([same, same]) == {}
    assert differences([same, same, {"data": "b"}]) == {2: ["data", "model"]}


ENVIRONMENT = {"RANK": "1", "WORLD_SIZE": "4", "MASTER_ADDR": "host", "MASTER_PORT": "29500"}


def test_the_place_of_a_rank_is_what_torchrun_says(monkeypatch):
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    place = launched_rank()
    assert place is not None
    assert (place.rank, place.world, place.address, place.port) == (1, 4, "host", 29500)
    assert (place.local_rank, place.restart, place.launcher_has_store) == (1, 0, False)


@pytest.mark.parametrize("name", ["RANK", "MASTER_ADDR", "MASTER_PORT"])
def test_a_rank_that_cannot_find_the_others_is_told(name, monkeypatch):
    for other, value in ENVIRONMENT.items():
        monkeypatch.setenv(other, value)
    monkeypatch.delenv(name)
    with pytest.raises(ConfigError, match=f"{name} is not there"):
        launched_rank()


def test_one_rank_of_one_is_a_process_like_any(monkeypatch):
    for name, value in {**ENVIRONMENT, "WORLD_SIZE": "1", "RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    assert launched_rank() is None
