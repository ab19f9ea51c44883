"""An interrupt that falls into a finalizer is not lost."""

from __future__ import annotations

import signal
import time

import pytest

from nextfill.interrupts import never_lost
from nextfill.training.interrupt import interruption


class Interrupted:
    """Is interrupted while it is taken down."""

    def __del__(self) -> None:
        signal.raise_signal(signal.SIGINT)
        self.taken_down = True


def take_down_and_wait(things: list[Interrupted]) -> None:
    things.clear()
    time.sleep(5)


def test_it_comes_a_moment_later() -> None:
    before = signal.getsignal(signal.SIGINT)
    with never_lost():
        with pytest.raises(KeyboardInterrupt):
            take_down_and_wait([Interrupted()])
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_also_while_a_run_may_stop_at_once() -> None:
    with interruption() as stop, pytest.raises(KeyboardInterrupt), stop.at_once():
        take_down_and_wait([Interrupted()])


def test_another_programs_handler_is_left() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with never_lost():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
