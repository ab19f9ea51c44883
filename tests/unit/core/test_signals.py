"""An interrupt that falls into a finalizer is not lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from nextfill.cli.main import COMMANDS, main
from nextfill.core.signals import SIGNALS, handle_signals
from nextfill.training.stop_request import stop_request


@pytest.fixture(autouse=True)
def every_signal_is_new(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nextfill.core.signals.SAME_S", 0.0)


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
    with handle_signals():
        with pytest.raises(KeyboardInterrupt):
            take_down_and_wait([Interrupted()])
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_also_while_a_run_may_stop_at_once() -> None:
    with stop_request() as stop, pytest.raises(KeyboardInterrupt), stop.at_once():
        take_down_and_wait([Interrupted()])


def test_another_programs_handler_is_left() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with handle_signals():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def told_to_stop(monkeypatch: pytest.MonkeyPatch, *numbers: int) -> int:
    """Return the status of a command that gets signals, and has something to tidy up."""
    tidied: list[bool] = []

    def run(line: object) -> None:
        try:
            signal.raise_signal(numbers[0])
            time.sleep(5)
        finally:
            for number in numbers[1:]:
                signal.raise_signal(number)
            tidied.append(True)

    monkeypatch.setitem(COMMANDS, "recipes", replace(COMMANDS["recipes"], run=run))
    status = main(["recipes"])
    assert tidied
    return status


@pytest.mark.parametrize("number", SIGNALS)
def test_the_status_tells_the_signal(
    number: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = [signal.getsignal(one) for one in SIGNALS]
    assert told_to_stop(monkeypatch, number) == 128 + number
    told = "nextfill: interrupted before there was anything to save.\n"
    assert capsys.readouterr() == ("", told)
    assert [signal.getsignal(one) for one in SIGNALS] == before


def test_ten_fast_ones_cut_nothing_off(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("nextfill.core.signals.SAME_S", 60.0)
    assert told_to_stop(monkeypatch, *[signal.SIGINT] * 10, signal.SIGTERM) == 130
    assert capsys.readouterr().err.count("\n") == 1


def test_one_that_is_ignored_stays_so(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert told_to_stop(monkeypatch, signal.SIGTERM, signal.SIGHUP) == 143
    finally:
        signal.signal(signal.SIGHUP, before)


PASSED_THROUGH_C = """
import sys
from dataclasses import replace
from nextfill.cli.main import COMMANDS, main

def run(line):
    exec("import signal; signal.raise_signal(signal.SIGTERM)")

COMMANDS["recipes"] = replace(COMMANDS["recipes"], run=run)
sys.exit(main(["recipes"]))
"""


def test_the_status_is_told_though_the_interrupt_passed_through_c(tmp_path: Path) -> None:
    (tmp_path / "stopped.py").write_text(PASSED_THROUGH_C)
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-m", "stopped"],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        check=False,
    )
    assert (done.returncode, b"Traceback" in done.stderr) == (143, False)


LEAVES_A_THREAD = """
import sys, threading, time
from tokenizers import Tokenizer, models, trainers
from nextfill.core.signals import end_process

class EndsSlowly:
    def __del__(self, sleep=time.sleep):
        sleep(0.5)

def texts():
    while True:
        time.sleep(0.01)
        yield "text"

sys.modules["ends_slowly"] = EndsSlowly()
training = Tokenizer(models.BPE()).train_from_iterator
threading.Thread(target=training, args=(texts(), trainers.BpeTrainer()), daemon=True).start()
time.sleep(0.1)
end_process(130)  # sys.exit aborts here, with Python 3.11
"""


def test_the_status_is_told_though_a_librarys_thread_works_on(tmp_path: Path) -> None:
    (tmp_path / "left.py").write_text(LEAVES_A_THREAD)
    done = subprocess.run([sys.executable, tmp_path / "left.py"], capture_output=True, check=False)
    assert done.returncode == 130, done.stderr
