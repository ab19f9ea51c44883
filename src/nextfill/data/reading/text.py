"""Text from files: line by line or whole, and what is no text is refused with its line.

Nothing here holds more than a line, or a document of at most `File.most_bytes`, so that a file that
unpacks to a thousand times its size costs time and no memory.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import BinaryIO, Literal

from nextfill.data.reading.files import File
from nextfill.data.reading.opening import open_file, reading
from nextfill.errors import DataError

_BOM = b"\xef\xbb\xbf"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_BUFFER_BYTES = 1 << 17
_NUL = "a NUL character, which no text has"
_LOOKS_LIKE_UTF16 = "not UTF-8 (it looks like UTF-16)"

_Found = Literal["", "nul", "utf-16", "too long"]


class _NotTextError(Exception):
    """The line that would come next is none."""

    def __init__(self, found: _Found) -> None:
        self.found = found


class _Watched(io.RawIOBase):
    """A file that ends in an error before a NUL, and within a line that is too long.

    Looking at blocks, not lines, costs nothing; and as it stops right there, the lines before have
    been read when the error comes, so that they tell its line.

    Args:
        below: The file.
        most: Bytes of the longest line.
    """

    def __init__(self, below: BinaryIO, most: int) -> None:
        self._below = below
        self._most = most
        self._line_bytes = 0
        self._begun = False
        self._found: _Found = ""

    def readable(self) -> bool:
        """Say yes."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill a buffer with what comes next; 0 at the end."""
        if self._found:
            raise _NotTextError(self._found)
        block = self._below.read(len(buffer))
        if not self._begun and block.startswith(_UTF16):
            raise _NotTextError("utf-16")
        self._begun = True
        size = len(block)
        if (nul := block.find(b"\0")) >= 0:
            self._found, size = "nul", nul
            if not size:
                raise _NotTextError("nul")
        end = block.rfind(b"\n", 0, size) + 1
        self._line_bytes = size - end if end else self._line_bytes + size
        if self._line_bytes >= self._most:
            self._found, size = "too long", end
            if not size:
                raise _NotTextError("too long")
        buffer[:size] = block[:size]
        return size


def text_lines(file: File) -> Iterator[tuple[int, str]]:
    r"""Yield (line number from 1, line with its line end), split on \n only.

    Args:
        file: The file.

    Yields:
        The lines, without a byte order mark.

    Raises:
        DataError: If the file cannot be read, or is not UTF-8 text.
    """
    number = 0
    with reading(file.name, file.compression), open_file(file) as stream:
        lines = io.BufferedReader(_Watched(stream, file.most_bytes), _BUFFER_BYTES)
        try:
            for number, raw in enumerate(lines, start=1):
                content = raw.removeprefix(_BOM) if number == 1 else raw
                try:
                    yield number, content.decode("utf-8")
                except UnicodeDecodeError as error:
                    raise not_utf8(file.name, number, content, error) from error
        except _NotTextError as error:
            number += 1
            if error.found == "too long":
                raise too_long(file, "line", number) from None
            found = _NUL if error.found == "nul" else _LOOKS_LIKE_UTF16
            raise _not_text(f"{file.name}:{number}", found) from None


def whole_text(file: File) -> str:
    """Return all of a text file as it is, but for a byte order mark.

    Args:
        file: The file.

    Raises:
        DataError: If the file cannot be read, or is not UTF-8 text.
    """
    with reading(file.name, file.compression), open_file(file) as stream:
        raw = stream.read(file.most_bytes)
    if len(raw) == file.most_bytes:
        raise too_long(file, "file")
    if raw.startswith(_UTF16):
        raise _not_text(f"{file.name}:1", _LOOKS_LIKE_UTF16)
    if (nul := raw.find(b"\0")) >= 0:
        raise _not_text(f"{file.name}:{1 + raw.count(10, 0, nul)}", _NUL)
    content = raw.removeprefix(_BOM)
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise not_utf8(file.name, 1, content, error) from error


def not_utf8(name: str, line: int, content: bytes, error: UnicodeDecodeError) -> DataError:
    """Return the error for bytes that are not UTF-8.

    Args:
        name: The file's name for messages.
        line: The line that the bytes begin.
        content: The bytes.
        error: What Python says.
    """
    where = f"{name}:{line + content.count(10, 0, error.start)}"
    return _not_text(where, f"not UTF-8 (byte 0x{content[error.start]:02x})")


def _not_text(where: str, found: str) -> DataError:
    said = found if found.startswith("not") else f"found {found}"
    return DataError(f"{where}: {said}. Save the file as UTF-8 text.")


def too_long(file: File, what: str, line: int | None = None) -> DataError:
    """Return the error for a text of more than a file may hold at once."""
    where = file.name if line is None else f"{file.name}:{line}"
    hint = "Give --txt paragraph or --txt line" if what == "file" else "Divide it into documents"
    other = ", or, if it is meant so, unpack the file" if file.may_unpack else ""
    size = f"{file.most_bytes >> 20:,} MiB"
    return DataError(f"{where}: found a {what} of {size} or more. {hint}{other}.")
