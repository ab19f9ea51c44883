"""Ranks that meet in a store that is older than they are, and their signs of life."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
from torch.distributed import HashStore, PrefixStore

from nextfill.training.distributed import heartbeat as signs
from nextfill.training.distributed.heartbeat import Heartbeat, beating
from nextfill.training.distributed.rendezvous import agreed_name


def met(store: HashStore, world: int) -> list[str]:
    """Return the name that each rank goes by, all of them started together."""
    with ThreadPoolExecutor(world) as pool:
        ranks = [pool.submit(agreed_name, store, rank, world) for rank in range(world)]
        return [rank.result(timeout=20) for rank in ranks]


@pytest.mark.parametrize("world", [2, 4])
def test_ranks_that_start_again_agree_on_another_name(world):
    store = HashStore()
    names = [met(store, world) for _ in range(4)]
    assert all(len({*name}) == 1 for name in names)
    assert len({name[0] for name in names}) == 4


@pytest.mark.parametrize("lost", [1, 2])
def test_a_rank_that_was_lost_as_it_began_is_waited_for(lost):
    store = HashStore()
    before = met(store, 3)[0]
    store.set(f"mark/{lost}", "of a process that is gone")
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(agreed_name, store, 0, 3)
        time.sleep(0.2)  # named with the mark of the one that is gone
        others = [pool.submit(agreed_name, store, rank, 3) for rank in (1, 2)]
        names = {one.result(timeout=20) for one in (first, *others)}
    assert len(names) == 1
    assert before not in names


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(signs, "BEAT_S", 0.02)
    monkeypatch.setattr(signs, "SILENCE_S", 0.5)


class Watched:
    """A rank's heartbeat, and the silence that it has heard."""

    def __init__(self, store: HashStore, rank: int, world: int = 2) -> None:
        self.lost: list[list[int]] = []
        self.called = threading.Event()
        self.heartbeat = Heartbeat(lambda: PrefixStore("job", store), rank, world, self._on_lost)

    def _on_lost(self, silent: list[int]) -> None:
        self.lost.append(silent)
        self.called.set()


def test_ranks_that_live_hear_nothing():
    store = HashStore()
    both = [Watched(store, rank) for rank in (0, 1)]
    with beating(both[0].heartbeat), beating(both[1].heartbeat):
        time.sleep(1.2)
    assert [one.lost for one in both] == [[], []]


def test_a_rank_that_has_left_is_not_lost():
    store = HashStore()
    first, second = Watched(store, 0), Watched(store, 1)
    with beating(first.heartbeat):
        with beating(second.heartbeat):
            time.sleep(0.2)
        time.sleep(1.2)
    assert first.lost == []


def test_a_silent_rank_is_named():
    store = HashStore()
    first = Watched(store, 0, world=4)
    others = [Watched(store, rank, world=4) for rank in (1, 3)]
    with beating(first.heartbeat), beating(others[0].heartbeat), beating(others[1].heartbeat):
        assert first.called.wait(5)
    assert first.lost == [[2]]  # which has never given a sign


class Stuck(HashStore):
    """A store that stops to answer, as one beyond a cut cable does."""

    def __init__(self) -> None:
        super().__init__()
        self.silent, self.over = threading.Event(), threading.Event()

    def check(self, keys: list[str]) -> bool:
        if self.silent.is_set():
            self.over.wait(10)
        return super().check(keys)


def test_a_store_that_does_not_answer_is_told(monkeypatch):
    store = Stuck()
    first = Watched(store, 0)
    monkeypatch.setattr(first.heartbeat, "_connect", lambda: store)
    with beating(first.heartbeat):
        time.sleep(0.1)
        store.set("beat/1", "left")
        time.sleep(0.2)
        store.silent.set()
        assert first.called.wait(5)
        assert first.lost == [[]]
        store.over.set()


def test_ranks_that_were_stopped_for_a_while_go_on(monkeypatch):
    """As by Ctrl-Z and fg, or by a machine that is paused: time has passed, and nobody is lost."""
    store, passed_s = HashStore(), [0.0]
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + passed_s[0])
    monkeypatch.setattr(signs, "time", clock)
    both = [Watched(store, rank) for rank in (0, 1)]
    with beating(both[0].heartbeat), beating(both[1].heartbeat):
        time.sleep(0.2)
        passed_s[0] = 100.0
        time.sleep(1.2)
    assert [one.lost for one in both] == [[], []]
