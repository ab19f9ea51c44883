"""The blocks of each step: the same wherever a run begins anew, and of each portion all of them."""

from __future__ import annotations

import numpy as np
import pytest

from nextfill.config import TrainConfig, TrainingConfig
from nextfill.data.packing.order import block_order
from nextfill.data.store.shard_tokens import ShardTokens
from nextfill.objectives.training_batches import TrainingBatches
from nextfill.training.block_feed import WholeFeed
from nextfill.training.setup import Setup
from nextfill.training.stream_feed import TIMES, Portion, PortionFeed

SIZES = [10, 0, 7, 4]
"""Blocks of each portion."""


class Store:
    """Stands for the tokens of a portion: its identity is all that a feed looks at."""

    def __init__(self, number: int) -> None:
        self.path = f"portion {number}"
        self.meta = {"content_sha256": f"{number}"}
        self.shard_tokens = ShardTokens([], [], np.dtype(np.uint16))


class Plan:
    """Blocks of one shard."""

    def __init__(self, num_blocks: int) -> None:
        self.num_blocks = num_blocks
        self.shard = np.zeros(num_blocks, np.int64)


def portion(number: int) -> Portion | None:
    if number >= len(SIZES):
        return None
    batches = TrainingBatches(Store(number), Plan(SIZES[number]), pad_id=0, isolate=True)
    return Portion(batches, {"tokens": SIZES[number], "content_sha256": [str(number)]})


@pytest.fixture
def feeds():
    """The function that begins a feed; each is closed at the end."""
    begun = []

    def begin(open_portion=portion, **training):
        settings = TrainingConfig(**{"max_steps": 30, "batch_size": 3} | training)
        begun.append(
            PortionFeed(open_portion, lambda: None, settings, 5, lambda: None, first_records=[0])
        )
        return begun[-1]

    yield begin
    for feed in begun:
        feed.close()


def walk(feed, first, last):
    taken = []
    for step in range(first, last):
        if not feed.covers(step):
            feed.advance(step)
        where = feed.place(step)
        taken.append((where["pass"], where["portion"], feed.numbers(step).tolist()))
    return taken


def test_every_pass_takes_each_block_of_each_portion_once(feeds):
    taken = walk(feeds(), 0, 9 + 9)
    for number in (1, 2):
        for at, size in enumerate(SIZES, start=1):
            blocks = [b for p, n, some in taken if (p, n) == (number, at) for b in some]
            assert sorted(blocks) == list(range(size))
    assert taken[:9] != taken[9:]  # in other orders
    assert [n for p, n, _ in taken[:9]] == [1, 1, 1, 1, 3, 3, 3, 4, 4]


def test_the_first_portion_has_the_order_of_a_store_of_its_own(feeds):
    feed = feeds()
    feed.advance(0)
    orders = np.concatenate([feed.numbers(step) for step in range(4)])
    assert orders.tolist() == block_order(portion(0).batches.plan.shard, 5, 0).tolist()


@pytest.mark.parametrize("step", [0, 1, 4, 5, 7, 8, 9, 10, 13, 14, 18, 27])
def test_a_feed_that_goes_on_takes_what_one_from_the_beginning_takes(feeds, step):
    whole = feeds()
    events, taken = [], []
    for at in range(30):
        if not whole.covers(at):
            if at < step:
                events.append(whole.advance(at))
            else:
                whole.advance(at)
        taken.append(whole.numbers(at).tolist())
        if at + 1 == step:
            blocks = whole.blocks_after(step)
    later = feeds()
    assert later.go_to(step) == events
    if step:
        assert later.blocks_after(step) == blocks == sum(map(len, taken[:step]))
    assert [numbers for _, _, numbers in walk(later, step, 30)] == taken[step:]


def test_masks_differ_from_portion_to_portion(feeds):
    feed, offsets = feeds(), []
    for step in range(18):
        if not feed.covers(step):
            feed.advance(step)
            offsets.append(feed._place.batches.first_block)
    assert offsets == [0, 10, 17, 0, 10, 17]


def test_no_more_is_read_than_the_steps_need(feeds):
    opened = []

    def noted(number):
        opened.append(number)
        return portion(number)

    feed = feeds(noted, max_steps=4)
    walk(feed, 0, 4)
    feed.close()
    assert opened == [0]


def test_the_ledger_counts_each_portion_once(feeds):
    feed = feeds()
    first = {"tokens": 10, "content_sha256": ["0"], "files": 1}
    walk(feed, 0, 5)
    assert feed.ledger(first, 5) == {
        **{"tokens": 17, "content_sha256": ["0", "1", "2"], "files": 1},
        "stream": {"portions": 3, "read_to_its_end": False, "blocks_trained": 13},
    }
    walk(feed, 5, 18)
    assert feed.ledger(first, 18) == {
        **{"tokens": 21, "content_sha256": ["0", "1", "2", "3"], "files": 1},
        "stream": {"portions": 4, "read_to_its_end": True, "blocks_trained": 42},
    }


def test_an_error_of_the_source_is_raised_when_its_blocks_are_due(feeds):
    def breaking(number):
        if number == 2:
            raise OSError("the network is gone")
        return portion(number)

    feed = feeds(breaking)
    walk(feed, 0, 4)
    with pytest.raises(OSError, match="the network is gone"):
        feed.advance(4)


def test_ten_evaluations_are_the_default(feeds):
    assert feeds(max_steps=95).interval == 10
    assert feeds(max_steps=3).interval == 1
    assert TIMES == 10


def test_whole_data_are_taken_epoch_by_epoch():
    batches = portion(0).batches
    training = TrainingConfig(batch_size=4, epochs=2.5)
    setup = Setup(TrainConfig(training=training), None, None, None, batches, {})
    feed = setup.feed
    assert isinstance(feed, WholeFeed)
    assert (feed.interval, setup.num_steps) == (3, 8)
    assert [feed.blocks_after(step) for step in range(5)] == [0, 4, 8, 10, 14]
    epochs = [np.concatenate([feed.numbers(3 * e + at) for at in range(3)]) for e in range(2)]
    assert [sorted(one.tolist()) for one in epochs] == [list(range(10))] * 2
    assert feed.place(2) == {"epoch": 1.0}
