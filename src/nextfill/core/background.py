"""Calls in other threads: work beside the caller's own, and none of them is left behind."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

T = TypeVar("T")
Item = TypeVar("Item")

LEAVE_S = 10.0
"""Most seconds to wait for work that is given up, such as the answer of a server."""


_WAKE_S = 0.2


class BackgroundCall(Generic[T]):
    """A call whose result, or error, is had later."""

    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self._done = threading.Event()
        self._results: list[T] = []
        self._error: BaseException | None = None

    def run(self) -> None:
        """Make the call."""
        try:
            self._results.append(self._work())
        except BaseException as error:  # noqa: BLE001 - raised where the result is asked for
            self._error = error
        finally:
            self._done.set()

    @property
    def is_done(self) -> bool:
        """Whether there is a result or an error."""
        return self._done.is_set()

    @property
    def error(self) -> BaseException | None:
        """The error of a call that is done; None where it has a result."""
        return self._error

    def wait(self, seconds: float) -> bool:
        """Wait so long at most, and tell whether it is done."""
        return self._done.wait(seconds)

    def result(self) -> T:
        """Wait for the result, which a signal's handler may interrupt, or raise the error."""
        while not self._done.wait(_WAKE_S):  # a signal may have come to the other thread
            pass
        if self._error is not None:
            raise self._error
        return self._results[0]


class Background:
    """One thread for all calls, made one after the other: each new one would keep memory.

    Example:
        >>> background = Background()
        >>> background.begin(lambda: 2 + 2).result()
        4
        >>> background.leave()
    """

    def __init__(self) -> None:
        self._calls: SimpleQueue[BackgroundCall[Any] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def begin(self, work: Callable[[], T]) -> BackgroundCall[T]:
        """Begin a call, once those before it are done."""
        call = BackgroundCall(work)
        if self._thread is None:
            # A daemon, so that a server that does not answer holds up no exit.
            self._thread = threading.Thread(
                target=self._serve,
                args=(self._calls,),
                name="nextfill-background",
                daemon=True,
            )
            self._thread.start()
        self._calls.put(call)
        return call

    def end_after(self) -> None:
        """Have the thread end once the calls are done that were begun; a later call has another."""
        if self._thread is not None:
            self._calls.put(None)
            self._calls, self._thread = SimpleQueue(), None

    def _serve(self, calls: SimpleQueue[BackgroundCall[Any] | None]) -> None:
        while (call := calls.get()) is not None:
            call.run()

    def leave(self) -> None:
        """Wait for the end of the calls that were begun, which had better be asked to stop."""
        if self._thread is not None:
            self._calls.put(None)
            self._thread.join(LEAVE_S)
            self._thread = None


@contextmanager
def beside(work: Callable[[], T]) -> Iterator[BackgroundCall[T]]:
    """Make a call in another thread, which has ended when the block is left.

    Example:
        >>> with beside(lambda: 2 + 2) as other:
        ...     other.result()
        4
    """
    call = BackgroundCall(work)
    thread = threading.Thread(target=call.run, name="nextfill-beside")
    thread.start()
    try:
        yield call
    finally:
        thread.join()


MOST_THREADS = 8
"""Beyond them the memory, and not the processor, limits what NumPy does without Python's lock."""


def in_threads(
    work: Callable[[Item], T], items: Iterable[Item], threads: int | None = None
) -> Generator[T]:
    """Yield the result of each item in turn, while the next ones are worked on in other threads.

    A result waits until it is asked for, and at most two for each thread do. Unless their number
    is given, there are as many threads as processors, up to `MOST_THREADS`.

    Example:
        >>> list(in_threads(lambda number: number * number, range(4)))
        [0, 1, 4, 9]
    """
    threads = threads or min(available_processors(), MOST_THREADS)
    waiting: deque[Future[T]] = deque()
    with ThreadPoolExecutor(threads, "nextfill") as pool:
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) >= 2 * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for one in waiting:
                one.cancel()


def available_processors() -> int:
    """Return the number of processors that this process may use.

    Example:
        >>> available_processors() > 0
        True
    """
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
