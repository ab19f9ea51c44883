"""A decompressor of the standard library as a file, stricter than the library's own."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import BinaryIO, Protocol

_PIECE = 1 << 16


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


class Unpacked(io.RawIOBase):
    """One compressed stream after another, as `xz` and parallel packers write them.

    `lzma.LZMAFile` and `bz2.BZ2File` take a damaged second stream for the end of the file, and
    what it holds would be gone without a word.

    Args:
        below: The compressed file.
        make: Returns a fresh decompressor.
        padding: What may stand between streams.
    """

    def __init__(
        self, below: BinaryIO, make: Callable[[], _Decompressor], *, padding: bytes
    ) -> None:
        self._below = below
        self._make = make
        self._padding = padding
        self._now = make()
        self._begun = False  # whether the present stream has had any input
        self._streams = 0

    def readable(self) -> bool:
        """Say yes."""
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Fill a buffer with what comes next; 0 at the end.

        Raises:
            EOFError: If the file ends within a stream.
            OSError: If a stream is damaged.
        """
        while True:
            held = b""
            if self._now.eof:
                held, self._now, self._begun = self._now.unused_data, self._make(), False
                self._streams += 1
            if not held and self._now.needs_input:
                held = self._below.read(_PIECE)
                if not held:
                    if self._begun or not self._streams:
                        raise EOFError("the end of a stream is missing")
                    return 0
            if not self._begun and self._streams:
                held = held.lstrip(self._padding) if self._padding else held
                if not held:
                    continue
            self._begun = True
            if made := self._now.decompress(held, len(buffer)):
                buffer[: len(made)] = made
                return len(made)
