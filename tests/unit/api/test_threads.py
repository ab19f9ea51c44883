"""Verbs that are called in several threads at once give what they give one after another."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from transformers.utils import logging as of_transformers

import nextfill
from nextfill.training.turns import one_training

MODEL = "builtin:base-causal"
THREADS = 4


def at_once(calls: list[Callable[[], Any]]) -> list[Any]:
    """Return what calls in threads that begin together return."""
    begin = threading.Barrier(len(calls))

    def run(call: Callable[[], Any]) -> Any:
        begin.wait()
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return [*pool.map(run, calls)]


def river() -> Any:
    return nextfill.generate(MODEL, "The river", max_new_tokens=3, seed=3)


def test_models_are_read_in_several_threads_as_in_one():
    expected = river()
    assert at_once([river] * THREADS) == [expected] * THREADS
    assert river() == expected, "what a thread replaced in a library was not put back"


def test_what_is_logged_is_put_back_by_the_last_thread():
    before = of_transformers.get_verbosity(), logging.getLogger("nextfill").level

    def look() -> Any:
        rows = [f"The river {number}" for number in range(20)]
        return nextfill.look(data=rows, model=MODEL, log_level="error").num_documents

    assert at_once([look, river, look, river])[0] == 20
    assert (of_transformers.get_verbosity(), logging.getLogger("nextfill").level) == before


def test_trainings_in_two_threads_have_the_figures_of_one_after_the_other(tmp_path):
    rows = [f"The river {number} was old and cold." for number in range(40)]

    def train(number: int) -> float:
        job = {"model": MODEL, "dropout": 0.3, "max_steps": 6, "batch_size": 2, "block_size": 32}
        done = nextfill.train(data=rows, out=tmp_path / f"run-{number}", **job)
        return done.after.nats

    expected = train(0)
    assert at_once([lambda: train(1), lambda: train(2)]) == [expected, expected]


def test_a_training_that_waits_for_another_says_so():
    told = threading.Event()
    with ThreadPoolExecutor(1) as pool, one_training(list):

        def wait() -> str:
            with one_training(lambda text: (notes.append(text), told.set())):
                return notes[0]

        notes: list[str] = []
        waiting = pool.submit(wait)
        assert told.wait(10)
        assert not waiting.done()
    assert "another training of this process" in waiting.result()
