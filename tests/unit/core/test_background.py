"""Calls in the background: results, errors, order, and no thread left behind."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator

import pytest

from nextfill.core import background as module
from nextfill.core.background import Background, in_threads


def test_calls_are_made_one_after_the_other_in_one_thread():
    background, seen = Background(), []
    calls = [
        background.begin(lambda n=n: seen.append(n) or threading.get_ident()) for n in range(5)
    ]
    assert len({call.result() for call in calls}) == 1
    assert seen == [0, 1, 2, 3, 4]
    assert calls[0].result() != threading.get_ident()
    background.leave()
    assert not any(one.name == "nextfill-background" for one in threading.enumerate())


def test_an_error_is_raised_where_the_result_is_asked_for():
    background = Background()
    failing = background.begin(lambda: 1 // 0)
    assert background.begin(lambda: 7).result() == 7  # the next call is made all the same
    assert failing.is_done
    with pytest.raises(ZeroDivisionError):
        failing.result()
    background.leave()


def test_a_signal_ends_the_wait():
    background, go_on = Background(), threading.Event()
    call = background.begin(lambda: go_on.wait(20))
    timer = threading.Timer(0.1, lambda: signal.raise_signal(signal.SIGINT))
    timer.start()
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        call.result()
    assert time.monotonic() - started < 5
    go_on.set()
    background.leave()


def test_work_that_does_not_end_is_left(monkeypatch):
    monkeypatch.setattr(module, "LEAVE_S", 0.1)
    background, go_on = Background(), threading.Event()
    background.begin(lambda: go_on.wait(20))
    started = time.monotonic()
    thread = background._thread
    background.leave()
    assert time.monotonic() - started < 5
    go_on.set()
    thread.join()


def test_without_a_call_there_is_no_thread():
    background = Background()
    background.leave()
    assert not any(one.name == "nextfill-background" for one in threading.enumerate())


def test_a_thread_ends_by_itself_after_the_calls_before_it_was_told():
    background = Background()
    first = background.begin(threading.get_ident)
    second = background.begin(threading.get_ident)
    thread = background._thread
    background.end_after()
    assert first.result() == second.result()
    thread.join(5)
    assert not thread.is_alive()
    assert background.begin(lambda: 7).result() == 7  # in another one
    background.leave()


def test_results_come_in_turn_and_few_wait() -> None:
    begun: list[int] = []

    def work(number: int) -> int:
        begun.append(number)
        return -number

    results = in_threads(work, range(50), threads=2)
    assert next(results) == 0
    time.sleep(0.05)
    assert len(begun) <= 5  # four that wait, and the one that was had
    assert list(results) == [-number for number in range(1, 50)]


def test_an_error_of_the_work_comes_in_its_turn() -> None:
    def work(number: int) -> int:
        if number == 3:
            raise ValueError("three")
        return number

    results = in_threads(work, range(50), threads=2)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="three"):
        next(results)


def test_an_error_of_the_items_waits_for_what_is_begun() -> None:
    ended: list[int] = []

    def items() -> Iterator[int]:
        yield 1
        raise ValueError("no more")

    def work(number: int) -> None:
        time.sleep(0.05)
        ended.append(number)

    with pytest.raises(ValueError, match="no more"):
        list(in_threads(work, items(), threads=1))
    assert ended == [1]


def test_no_thread_is_left_where_the_results_are_given_up() -> None:
    results = in_threads(lambda number: number, range(50), threads=2)
    next(results)
    results.close()
    assert not [one for one in threading.enumerate() if one.name.startswith("nextfill_")]
