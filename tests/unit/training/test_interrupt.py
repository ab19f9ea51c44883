import os
import signal
import threading

import pytest

from nextfill.training.interrupt import interruption


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_first_signal_asks_and_second_stops(number, capfd):
    before = signal.getsignal(number)
    with interruption() as stop:
        assert not stop.asked
        os.kill(os.getpid(), number)
        assert stop.asked
        assert "press again to stop at once" in capfd.readouterr().err
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
    assert signal.getsignal(number) is before


def test_a_block_with_nothing_to_lose_ends_at_once():
    with interruption() as stop:
        with pytest.raises(KeyboardInterrupt), stop.at_once():
            os.kill(os.getpid(), signal.SIGINT)
        assert not stop.asked


def test_what_was_asked_before_such_a_block_ends_it(capfd):
    with interruption() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        entered = []
        with pytest.raises(KeyboardInterrupt), stop.at_once():
            entered.append(True)
        assert not entered


def test_another_thread_is_left_alone():
    seen = []

    def work():
        with interruption() as stop:
            seen.append(stop.asked)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [False]
