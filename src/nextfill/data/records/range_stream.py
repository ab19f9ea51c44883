"""A part of a file that is read by itself: where it is, and the stream of its bytes."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import BinaryIO, cast


@dataclass(frozen=True)
class FileRange:
    """A part of a file that is read by itself.

    Args:
        begin: Its first byte, at the beginning of a line; of Parquet, its first row group.
        end: The byte, or the row group, after its last.
        before: Lines, or rows, before it; None where they have not been counted.
    """

    begin: int
    end: int
    before: int | None


def range_stream(below: BinaryIO, begin: int, end: int) -> BinaryIO:
    """Return the bytes of a stream from one to another, which closes it, too."""
    return cast("BinaryIO", _RangeStream(below, begin, end))


class _RangeStream(io.RawIOBase):
    """The bytes of a stream from one to another."""

    def __init__(self, below: BinaryIO, begin: int, end: int) -> None:
        self._below = below
        self._left = end - begin
        below.seek(begin)

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Fill a buffer with the bytes that come next; 0 at the end."""
        content = self._below.read(min(len(buffer), self._left))
        buffer[: len(content)] = content
        self._left -= len(content)
        return len(content)

    def close(self) -> None:
        """Close the stream below, too."""
        super().close()
        self._below.close()
