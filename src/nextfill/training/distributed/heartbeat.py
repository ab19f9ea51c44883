"""A sign of life of every rank, by which the others know of one whose machine cannot be reached.

A rank that is killed closes its connections, which its peers see at once. One whose network is cut
closes nothing: a common operation would wait for it as long as the kernel sends again, a quarter of
an hour and more. Each rank writes a number into the store every few seconds, and ends, told, where
another's has not changed for a minute, or the store has not answered for as long.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from torch.distributed import PrefixStore, TCPStore  # type: ignore[attr-defined]

BEAT_S = 3.0
"""Seconds between two signs of life."""

SILENCE_S = 60.0
"""Seconds without one after which a rank is taken for lost."""

LEAVE_S = 10.0
"""Most seconds to wait for an operation of the store that is under way at the end."""

_LEFT = "left"
"""The sign of a rank that has ended well."""


class Heartbeat:
    """The signs of life of this rank, and those that it has seen of the others.

    Args:
        connect: Makes a connection of its own to the store, which no other operation waits on.
        rank: This rank.
        world: The number of ranks.
        on_lost: Called, once, with the ranks that are silent; empty where the store is.
        on_beat: Called at each beat with the connection to the store.
    """

    def __init__(
        self,
        connect: Callable[[], PrefixStore],
        rank: int,
        world: int,
        on_lost: Callable[[list[int]], None],
        on_beat: Callable[[PrefixStore], None] = lambda store: None,
    ) -> None:
        self._connect, self._rank = connect, rank
        self._on_lost, self._on_beat = on_lost, on_beat
        self._others = [other for other in range(world) if other != rank]
        self._seen: dict[int, tuple[bytes, float]] = {}
        self._answered_at = time.monotonic()
        self._ended = threading.Event()
        self._threads = [
            threading.Thread(target=work, name="nextfill-heartbeat", daemon=True)
            for work in (self._beat, self._watch)
        ]

    def begin(self) -> None:
        """Begin to beat, and to watch."""
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """End, and tell the others that this rank has not been lost.

        A thread that Python left within an operation of the store would abort the process.
        """
        self._ended.set()
        for thread in self._threads:
            thread.join(LEAVE_S)

    def _beat(self) -> None:
        """Write signs of life, and read those of the others, until the end."""
        try:
            store, number = self._connect(), 0
            while not self._ended.wait(BEAT_S):
                number += 1
                store.set(f"beat/{self._rank}", str(number))
                self._read(store)
                self._answered_at = time.monotonic()
                self._on_beat(store)
            store.set(f"beat/{self._rank}", _LEFT)
        except RuntimeError:  # the store has gone, with the process that served it
            return

    def _read(self, store: PrefixStore) -> None:
        for other in self._others:
            key = f"beat/{other}"
            sign = store.get(key) if store.check([key]) else b""
            if other not in self._seen or self._seen[other][0] != sign:
                self._seen[other] = sign, time.monotonic()

    def _watch(self) -> None:
        """Call for help where a rank, or the store, is silent for too long."""
        wait_s = min(1.0, BEAT_S)
        looked_at = time.monotonic()
        while not self._ended.wait(wait_s):
            now, before = time.monotonic(), looked_at
            looked_at = now
            if now - before > wait_s + SILENCE_S / 2:  # this process, or all of it, was stopped
                self._seen = {other: (sign, now) for other, (sign, _) in self._seen.items()}
                self._answered_at = now
                continue
            silent = [
                other
                for other, (sign, at) in sorted(self._seen.copy().items())
                if sign != _LEFT.encode() and now - at > SILENCE_S
            ]
            if silent or now - self._answered_at > SILENCE_S:
                if not self._ended.is_set():
                    self._on_lost(silent)
                return


@contextmanager
def beating(heartbeat: Heartbeat) -> Iterator[None]:
    """Beat and watch meanwhile."""
    heartbeat.begin()
    try:
        yield
    finally:
        heartbeat.end()


def store_connection(address: str, port: int, prefix: str) -> Callable[[], PrefixStore]:
    """Return what makes a connection of its own to the store of the ranks."""

    def connect() -> PrefixStore:
        store = TCPStore(address, port, is_master=False, wait_for_workers=False)
        return PrefixStore(prefix, store)

    return connect
