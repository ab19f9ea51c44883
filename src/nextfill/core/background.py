"""A call in the background: work beside the caller's own, in a thread that is never left behind."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

LEAVE_S = 10.0
"""Most seconds to wait for work that is given up, such as the answer of a server."""


class BackgroundCall(Generic[T]):
    """A call that begins at once, and whose result, or error, is had later.

    Example:
        >>> BackgroundCall(lambda: 2 + 2).result()
        4
    """

    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self._done = threading.Event()
        self._results: list[T] = []
        self._error: BaseException | None = None
        # A daemon, so that a server that does not answer holds up no exit.
        self._thread = threading.Thread(target=self._run, name="nextfill-background", daemon=True)
        self._thread.start()

    def _run(self) -> None:
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

    def result(self) -> T:
        """Wait for the result, which a signal's handler may interrupt, or raise the error."""
        self._done.wait()
        if self._error is not None:
            raise self._error
        return self._results[0]

    def leave(self) -> None:
        """Wait for the end of work that was asked to stop, and forget its result."""
        self._thread.join(LEAVE_S)
