"""Whole models or shares, by the size of the state and the memory of the devices."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from nextfill.training.distributed import sharded_engine
from nextfill.training.distributed.parallel_choice import MOST_OF_MEMORY, shares_of
from nextfill.training.engine import Engine

GB = 10**9


@pytest.mark.parametrize(
    ("needed", "memories", "reasons", "divided", "told"),
    [
        (10 * GB, [None, None], [], False, "the whole model on each (--parallel ddp), 10.0 GB"),
        (900 * GB, [None, None], [], False, "900.0 GB"),  # shares save nothing on a CPU
        (47 * GB, [80 * GB] * 4, [], False, "47.0 of 80.0 GB"),
        (49 * GB, [80 * GB] * 4, [], True, "a share of the model on each (--parallel fsdp)"),
        (20 * GB, [80 * GB, 24 * GB], [], True, "20.0 of 24.0 GB"),  # the smallest counts
        (49 * GB, [80 * GB] * 2, ["an average is kept"], False, "though that is much: an average"),
    ],
)
def test_the_choice(needed, memories, reasons, divided, told):
    found, words = shares_of(needed, memories, reasons)
    assert found is divided
    assert told in words


def test_the_limit_itself_is_whole():
    assert not shares_of(int(MOST_OF_MEMORY * 100 * GB), [100 * GB], [])[0]


@pytest.mark.parametrize("has_shares", [False, True])
def test_the_engine_is_the_chosen_one(has_shares, monkeypatch):
    took = []
    monkeypatch.setattr(
        sharded_engine, "SHARDED", Engine(lambda *of: took.append(("shares", of[2])))
    )
    engine = sharded_engine.by_size(Engine(lambda *of: took.append(("whole", of[2]))))
    setup = SimpleNamespace(ranks=SimpleNamespace(has_shares=has_shares))
    engine.take_steps(setup, None, range(3, 7), None, None)
    assert took == [("shares" if has_shares else "whole", range(3, 7))]
