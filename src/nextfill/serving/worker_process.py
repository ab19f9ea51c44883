"""The process that holds a server's models, and its start anew where it is lost.

The process that was started holds the socket and no model. So clients that ask while a lost
process is replaced are not refused: they wait at the socket, and the new process answers them.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

from nextfill.core.errors import NextfillError

_SHORT_S = 30.0
"""A process that was ready for less than that waits before it is started again."""

_MOST_WAIT_S = 30.0

_PATIENCE_S = 15.0
"""Seconds in which a process has to end once it was told to."""

_READY, _REFUSED = b"r", b"e"

Serve = Callable[[int, Callable[[], None]], None]
"""Serves until it is interrupted: given how often it began anew, and what to call once ready."""


def has_own_process() -> bool:
    """Return whether models can be held by a process of their own, which begins as a copy of this.

    A copy has one thread alone, so that none may be left out, and PyTorch may have begun some.
    """
    return sys.platform == "linux" and threading.active_count() == 1 and "torch" not in sys.modules


def keep_serving(serve: Serve, on_note: Callable[[str], None]) -> None:
    """Have a process of its own serve until an interrupt, and start it anew where it is lost.

    Args:
        serve: What that process does.
        on_note: Receives a sentence on each loss.

    Raises:
        NextfillError: If the models cannot be loaded.
    """
    losses = short = 0
    while True:
        worker = _Worker(serve, losses)
        ready_s = None
        try:
            ready_s = worker.wait_until_ready()
            cause = worker.wait()
        except KeyboardInterrupt:
            worker.end()
            if ready_s is None and not losses:
                raise
            return
        if cause is None:
            return
        if ready_s is None:
            raise NextfillError(f"The models' process {cause}, before it had loaded them.")
        losses += 1
        short = short + 1 if time.monotonic() - ready_s < _SHORT_S else 0
        wait_s = 0.0 if short < 2 else min(2.0**short, _MOST_WAIT_S)
        when = f"in {wait_s:g} s" if wait_s else "now"
        on_note(
            f"the models' process {cause}: what it was writing is lost, and it is started again "
            f"{when}; until it is ready, requests are told to come again ({losses} lost so far)"
        )
        try:
            time.sleep(wait_s)
        except KeyboardInterrupt:
            return


class _Worker:
    """One such process, seen from the one that started it."""

    def __init__(self, serve: Serve, losses: int) -> None:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()  # or both processes would write what is left in it
        self._told, telling = os.pipe()
        lasting, self._held = os.pipe()  # its other end is closed by the end of this process
        self._pid = os.fork()
        if self._pid == 0:
            os.close(self._told)
            os.close(self._held)
            _work(serve, losses, telling, lasting)
        os.close(telling)
        os.close(lasting)

    def wait_until_ready(self) -> float | None:
        """Return when its models were loaded; None where it ended before."""
        return time.monotonic() if os.read(self._told, 1) == _READY else None

    def wait(self) -> str | None:
        """Return how it was lost, once it is; None where it ended as it should.

        Raises:
            NextfillError: That of the process, if the models cannot be loaded.
        """
        with os.fdopen(os.dup(self._told), "rb") as told:
            last = told.read()
        _, status = os.waitpid(self._pid, 0)
        self._close()
        if last:
            error = pickle.loads(last)  # noqa: S301 - of our own process
            raise error
        if os.WIFSIGNALED(status):
            number = os.WTERMSIG(status)
            hint = ", as the system does where memory is short" if number == signal.SIGKILL else ""
            return f"was ended by {signal.Signals(number).name}{hint}"
        code = os.WEXITSTATUS(status)
        return f"ended with status {code}" if code else None

    def end(self) -> None:
        """Have it end, and wait for that."""
        with suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGTERM)
        deadline_s = time.monotonic() + _PATIENCE_S
        try:
            while os.waitpid(self._pid, os.WNOHANG) == (0, 0):
                if time.monotonic() > deadline_s:
                    os.kill(self._pid, signal.SIGKILL)
                time.sleep(0.02)
        except ChildProcessError:  # it was waited for when the interrupt came
            pass
        except KeyboardInterrupt:  # once more: at once
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
        self._close()

    def _close(self) -> None:
        for one in (self._told, self._held):
            os.close(one)


def _work(serve: Serve, losses: int, telling: int, lasting: int) -> NoReturn:
    """Serve in the process that holds the models, and end it."""
    status = 1
    is_ready = False

    def ready() -> None:
        nonlocal is_ready
        is_ready = True
        os.write(telling, _READY)

    try:
        threading.Thread(target=_end_with, args=(lasting,), name="parent", daemon=True).start()
        serve(losses, ready)
        status = 0
    except KeyboardInterrupt:
        status = 0
    except NextfillError as error:
        if is_ready:
            print(f"nextfill: {error}", file=sys.stderr)
        else:
            os.write(telling, _REFUSED + pickle.dumps(error))
    except BaseException:  # noqa: BLE001 - a defect, told as Python tells it
        sys.excepthook(*sys.exc_info())
    finally:
        with suppress(OSError, ValueError):
            sys.stderr.flush()
        os._exit(status)


def _end_with(lasting: int) -> None:
    """End this process as the one that started it has ended, whose end of a pipe is closed."""
    os.read(lasting, 1)
    os.kill(os.getpid(), signal.SIGTERM)
