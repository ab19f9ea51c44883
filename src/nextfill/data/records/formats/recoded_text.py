"""The bytes of a text file in another encoding, as UTF-8, piece by piece."""

from __future__ import annotations

import codecs
import io
from typing import BinaryIO

from nextfill.core.errors import DataError

_PIECE = 1 << 16
_BUFFER_BYTES = 1 << 17


class RecodedText(io.BufferedReader):
    """A buffered stream of UTF-8, which closes the file below it, too."""

    def __init__(self, below: BinaryIO, encoding: str, name: str) -> None:
        super().__init__(_Recoder(below, encoding, name), _BUFFER_BYTES)
        self._below = below

    def close(self) -> None:
        """Close both."""
        super().close()
        self._below.close()


class _Recoder(io.RawIOBase):
    """Decodes from one encoding; a byte that it does not have is an error with its line."""

    def __init__(self, below: BinaryIO, encoding: str, name: str) -> None:
        self._below, self._encoding, self._name = below, encoding, name
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._ready = b""
        self._ended = False
        self._line = 1
        self._last = ""  # a line's end may be divided between two pieces

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Fill a buffer with the bytes that come next; 0 at the end."""
        while not self._ready and not self._ended:
            raw = self._below.read(_PIECE)
            self._ended = not raw
            try:
                text = self._decoder.decode(raw, final=self._ended)
                self._ready = text.encode("utf-8")
            except UnicodeDecodeError as error:
                good = error.object[: error.start].decode(self._encoding, "ignore")
                self._count(good)
                raise self._error(f"byte 0x{error.object[error.start]:02x}") from error
            except UnicodeError as error:  # half of a pair, or no mark where one is expected
                raise self._error(str(error)) from error
            self._count(text)
        size = min(len(buffer), len(self._ready))
        buffer[:size], self._ready = self._ready[:size], self._ready[size:]
        return size

    def _count(self, text: str) -> None:
        both = self._last + text
        ends = both.count("\n") + both.count("\r") - both.count("\r\n")
        self._line += ends - (self._last == "\r")
        self._last = "\r" if text.endswith("\r") else "" if text else self._last

    def _error(self, reason: str) -> DataError:
        return DataError(
            f"{self._name}:{self._line}: not {self._encoding} ({reason}). Name its encoding with "
            "--encoding, or save the file as UTF-8 text."
        )
