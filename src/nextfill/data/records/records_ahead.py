"""Records of a reading, of which the next can be looked at before their turn."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import islice

from nextfill.data.document import Record


class Ahead(Iterator[Record]):
    """Records, of which the next can be looked at before their turn."""

    def __init__(self, records: Iterator[Record]) -> None:
        self._records = records
        self._seen: deque[Record] = deque()

    def __next__(self) -> Record:
        return self._seen.popleft() if self._seen else next(self._records)

    def peek(self, number: int) -> list[Record]:
        """Return the next records, so many where there are as many."""
        self._seen += islice(self._records, max(0, number - len(self._seen)))
        return list(self._seen)
