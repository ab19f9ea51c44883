import os
import signal
import threading

import pytest

from nextfill.core.signals import SIGNALS, handle_signals
from nextfill.training.stop_request import stop_request


@pytest.fixture(autouse=True)
def every_signal_is_new(monkeypatch):
    monkeypatch.setattr("nextfill.core.signals.SAME_S", 0.0)


@pytest.mark.parametrize("number", SIGNALS)
def test_first_signal_asks_and_second_stops(number, capfd):
    before = signal.getsignal(number)
    with stop_request() as stop:
        assert not stop.requested
        os.kill(os.getpid(), number)
        assert stop.requested
        assert "press again to stop at once" in capfd.readouterr().err
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
    assert signal.getsignal(number) is before


def test_a_block_with_nothing_to_lose_ends_at_once():
    with stop_request() as stop:
        with pytest.raises(KeyboardInterrupt), stop.at_once():
            os.kill(os.getpid(), signal.SIGINT)
        assert not stop.requested


def test_what_was_asked_before_such_a_block_ends_it(capfd):
    with stop_request() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        entered = []
        with pytest.raises(KeyboardInterrupt), stop.at_once():
            entered.append(True)
        assert not entered


def test_another_thread_is_left_alone():
    seen = []

    def work():
        with stop_request() as stop:
            seen.append(stop.requested)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [False]


def test_a_signal_that_is_ignored_stays_so():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stop_request() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not stop.requested
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_signals_that_follow_at_once_do_not_stop_the_step(monkeypatch):
    monkeypatch.setattr("nextfill.core.signals.SAME_S", 60.0)
    with handle_signals(), stop_request() as stop:
        for number in [*SIGNALS, *SIGNALS]:
            os.kill(os.getpid(), number)
        assert stop.requested


def test_a_terminal_that_is_gone_stops_no_step():
    real = os.dup(2)
    try:
        os.close(2)
        with stop_request() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert stop.requested
    finally:
        os.dup2(real, 2)
        os.close(real)
