"""JSON one value at a time, in the memory of the largest one.

The text of a JSON file is decoded in pieces and scanned with the standard library's C scanner. A
scan that fails at the end of what is there is tried again after reading as much again, so an
element of n characters costs about 2 n, not n squared; a scan that fails earlier is an error at
once.
"""

from __future__ import annotations

import codecs
import json
import sys
from collections.abc import Iterator
from typing import Any, BinaryIO

from nextfill.core.errors import DataError
from nextfill.core.json_text import BIG_INTEGER_DECODER, parse_shallow
from nextfill.data.records.formats.repeated_keys import RepeatedKeys
from nextfill.data.records.formats.text_lines import LOOKS_LIKE_UTF16, UTF16

_PIECE = 1 << 16
_SPACE = " \t\n\r"
# At least the longest token that, cut in half, is reported at its start: `-Infinity`, `\ud83d`.
_LONGEST_TOKEN = 16


class JsonStream:
    """A cursor over JSON text that reads ahead only as far as the next value needs.

    A value of `limit` characters or more is an error.
    """

    def __init__(self, file: BinaryIO, name: str, limit: int = sys.maxsize) -> None:
        self._file = file
        self._name = name
        self._limit = limit
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._scan = json.JSONDecoder().raw_decode
        self._text = ""
        self._at = 0
        self.line = 1  # of the cursor
        self._bytes_line = 1
        self._ended = False
        self._keys = RepeatedKeys()
        self._fill(_PIECE)
        if self._text.startswith("\ufeff"):
            self._text = self._text[1:]

    def peek(self) -> str:
        """Return the next character that is not white space, or an empty string at the end."""
        while True:
            start = self._at
            while self._at < len(self._text) and self._text[self._at] in _SPACE:
                self._at += 1
            self.line += self._text.count("\n", start, self._at)
            if self._at < len(self._text):
                return self._text[self._at]
            if self._ended:
                return ""
            self._fill(_PIECE)

    def skip(self) -> None:
        """Move over the character that `peek` returned."""
        self._at += 1

    def value(self) -> Any:
        """Return the value at the cursor and move past it."""
        self.peek()
        while True:
            try:
                value, end = self._scan(self._text, self._at)
            except json.JSONDecodeError as error:
                cut = error.pos >= len(self._text) - _LONGEST_TOKEN
                if len(self._text) - self._at >= self._limit:
                    reason = f"found a value of {self._limit:,} characters or more"
                    raise self.error(f"{reason}, which is longer than any text") from error
                if not self._ended and (cut or error.msg.startswith("Unterminated string")):
                    self._fill(max(_PIECE, len(self._text) - self._at))
                    continue
                line = self.line + self._text.count("\n", self._at, error.pos)
                raise self.error(_reason(error, self._text), line) from error
            except RecursionError as error:
                shallow_value = self._shallow()
                if shallow_value is None and not self._ended:
                    self._fill(max(_PIECE, len(self._text) - self._at))
                    continue
                if shallow_value is None:
                    raise self.error("is nested too deeply, and does not end") from error
                value, end = shallow_value
            except ValueError:  # of an integer of more digits than Python takes unasked
                self._scan = BIG_INTEGER_DECODER.raw_decode
                continue
            self._keys.look_at(f"{self._name}:{self.line}", self._text[self._at : end])
            self.line += self._text.count("\n", self._at, end)
            self._at = end
            return value

    def _shallow(self) -> tuple[Any, int] | None:
        if len(self._text) - self._at >= self._limit:
            raise self.error(f"found a value of {self._limit:,} characters or more")
        try:
            return parse_shallow(self._text, self._at)
        except ValueError as error:
            raise self.error(str(error)) from error

    def error(self, reason: str, line: int | None = None) -> DataError:
        """Return an error that names the file and line."""
        return DataError(f"{self._name}:{line or self.line}: not JSON: {reason}")

    def _fill(self, num_bytes: int) -> None:
        """Drop the text before the cursor and append about `num_bytes` more."""
        raw = self._file.read(num_bytes)
        self._ended = not raw
        try:
            more = self._decoder.decode(raw, final=self._ended)
        except UnicodeDecodeError as error:
            if raw.startswith(UTF16) and self._bytes_line == 1 and not error.start:
                raise DataError(f"{self._name}:1: {LOOKS_LIKE_UTF16}.") from error
            line = self._bytes_line + error.object.count(b"\n", 0, error.start)
            raise DataError(
                f"{self._name}:{line}: not UTF-8 (byte 0x{error.object[error.start]:02x}). "
                "Save the file as UTF-8."
            ) from error
        self._bytes_line += raw.count(b"\n")
        self._text = self._text[self._at :] + more
        self._at = 0


def _reason(error: json.JSONDecodeError, text: str) -> str:
    """Return the scanner's message without its own line numbers, which count from the buffer."""
    cut = text[error.pos : error.pos + 20]
    found = repr(cut) if cut else "the end of the file"
    return f"{error.msg[0].lower()}{error.msg[1:]}, found {found}"


def json_values(
    file: BinaryIO, name: str, limit: int = sys.maxsize
) -> Iterator[tuple[int, Any, bool]]:
    r"""Yield line, value, and whether it is the only one: top-level values, elements of arrays.

    Example:
        >>> import io
        >>> list(json_values(io.BytesIO(b'[{"a": 1},\n {"a": 2}]'), "x.json"))
        [(1, {'a': 1}, False), (2, {'a': 2}, False)]
    """
    stream = JsonStream(file, name, limit)
    first = True
    while stream.peek():
        if stream.peek() == "[":
            yield from ((line, value, False) for line, value in _elements(stream))
        else:
            line = stream.line
            value = stream.value()
            yield line, value, first and not stream.peek()
        first = False


def _elements(stream: JsonStream) -> Iterator[tuple[int, Any]]:
    """Yield the elements of the array at the cursor, each after its line."""
    stream.skip()
    if stream.peek() == "]":
        stream.skip()
        return
    while True:
        stream.peek()
        line = stream.line
        yield line, stream.value()
        mark = stream.peek()
        if mark not in (",", "]"):
            found = repr(mark) if mark else "the end of the file"
            raise stream.error(f"expecting ',' or ']' after an element, found {found}")
        stream.skip()
        if mark == "]":
            return
