"""Training in the background: its errors come back, and Ctrl-C does not wait for it."""

from __future__ import annotations

import signal
import threading
import time

import pytest

from nextfill.core.errors import DataError
from nextfill.tokenizers.background import train_watched


def wait_until(there):
    """Wait for something, however busy the machine is; give up after a while."""
    until_s = time.monotonic() + 30
    while not there() and time.monotonic() < until_s:
        time.sleep(0.01)


def test_the_texts_come_through_and_are_told_of():
    taken, told = [], []

    def train(feed):
        taken.extend(feed)
        wait_until(lambda: told and told[-1][1])  # choosing pieces

    train_watched(train, ["one", "three"], lambda done, ended: told.append((done, ended)))
    assert taken == ["one", "three"]
    assert told[-1] == (8, True)
    assert told == sorted(told)


def test_what_goes_wrong_with_the_texts_is_raised_as_it_was():
    def texts():
        yield "one"
        raise DataError("line 2 is damaged")

    with pytest.raises(DataError, match="line 2 is damaged"):
        train_watched(lambda feed: list(feed) and None, texts())


def test_a_timeout_of_the_training_itself_is_raised():
    def train(feed):
        raise TimeoutError("the Hub")

    with pytest.raises(TimeoutError, match="the Hub"):
        train_watched(train, [])


def test_an_interruption_is_heard_at_once_and_ends_the_texts():
    taken = []

    def texts():
        for number in range(2000):
            time.sleep(0.01)
            taken.append(number)
            yield "text"

    began_s = time.monotonic()
    timer = threading.Timer(0.3, signal.raise_signal, [signal.SIGINT])
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        train_watched(lambda feed: list(feed) and None, texts())
    assert time.monotonic() - began_s < 5
    wait_until(lambda: all(t.name != "tokenizer training" for t in threading.enumerate()))
    assert len(taken) < 1000, "the training went on taking texts"
