"""The lines of text files, or the whole of one, and faults of what is no text.

Nothing here holds more than a line of at most `File.most_bytes`, but where a file is asked for as a
whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from io import BytesIO
from typing import BinaryIO, Literal

from nextfill.core.errors import DataError
from nextfill.data.records.files import File
from nextfill.data.records.formats.compression import open_file, reading
from nextfill.data.records.formats.file_formats import BOM

UTF16 = (b"\xff\xfe", b"\xfe\xff")
LOOKS_LIKE_UTF16 = (
    "not UTF-8 (it looks like UTF-16, which Windows calls Unicode; "
    "iconv -f UTF-16 -t UTF-8 OLD > NEW turns it)"
)
_BUFFER_BYTES = 1 << 20
_ENDS = (b"\n", b"\r")
_DOUBLED = b"\r\r\n"
_END = re.compile(rb"\r?\r?\n|\r")
_CTRL_Z = b"\x1a"
_NUL = "a NUL character, which no text has"


def text_lines(file: File) -> Iterator[tuple[int, str]]:
    r"""Yield (line number from 1, line with its line end).

    A line ends as in Python's text files: at \n, \r\n or \r alone, and at no other character; also
    at the \r\r\n of a Windows file that was written as text a second time. A Ctrl-Z alone on the
    last line is the end of the file, as DOS has it.
    """
    for number, content in byte_lines(file):
        yield number, decoded(file, number, content)


def byte_lines(file: File) -> Iterator[tuple[int, bytes]]:
    """Yield what `text_lines` does in bytes, which `decoded` turns into text."""
    number = file.before
    with reading(file.name, file.compression), open_file(file) as stream:
        try:
            lines = _lines(stream, file.most_bytes, is_first=not file.is_begun)
            for number, raw in enumerate(lines, file.before + 1):
                yield number, raw if number > 1 or file.is_begun else raw.removeprefix(BOM)
        except _NotTextError as error:
            number += 1
            if error.fault == "too long":
                raise too_long(file, "line", number) from None
            reason = _NUL if error.fault == "nul" else LOOKS_LIKE_UTF16
            raise _not_text(f"{file.name}:{number}", reason) from None


def count_lines(file: File) -> int:
    """Count the lines of a file, up to a fault of one, which is told by whoever reads it."""
    lines = 0
    with reading(file.name), open_file(file) as stream, suppress(_NotTextError):
        for _ in _lines(stream, file.most_bytes):
            lines += 1
    return lines


def decoded(file: File, number: int, content: bytes) -> str:
    """Return a line of a file as text."""
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _not_utf8(file.name, number, content, error) from error


def whole_text(file: File) -> str:
    """Return all of a text file as it is, but for a byte order mark."""
    with reading(file.name, file.compression), open_file(file) as stream:
        raw = stream.read(file.most_bytes)
    if len(raw) == file.most_bytes:
        raise too_long(file, "file")
    if raw.startswith(UTF16):
        raise _not_text(f"{file.name}:1", LOOKS_LIKE_UTF16)
    if (nul := raw.find(b"\0")) >= 0:
        raise _not_text(f"{file.name}:{1 + _num_ends(raw[:nul])}", _NUL)
    content = raw.removeprefix(BOM)
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _not_utf8(file.name, 1, content, error) from error


class _NotTextError(Exception):
    """A fault of the next line, which is not text."""

    def __init__(self, fault: Literal["nul", "utf-16", "too long"]) -> None:
        self.fault = fault


def _lines(stream: BinaryIO, most: int, *, is_first: bool = True) -> Iterator[bytes]:
    """Yield the lines of a file with their ends, up to a NUL or a line that is too long.

    Looking at blocks, not lines, costs nothing; and the lines before have been read when the error
    comes, so that their number is known.
    """
    begun: list[bytes] = []  # the pieces of an unfinished line
    size, carried = 0, b""
    while block := stream.read(_BUFFER_BYTES):
        if is_first and block.startswith(UTF16):
            raise _NotTextError("utf-16")
        is_first, block = False, carried + block
        nul = block.find(b"\0")
        block = block if nul < 0 else block[:nul]
        # A possible first half of a line's end waits for the second.
        waits = min(len(block) - len(block.rstrip(b"\r")), 2) if nul < 0 else 0
        block, carried = block[: len(block) - waits], block[len(block) - waits :]
        lines = _split(block)
        if begun and lines and lines[0].endswith(_ENDS) and size + len(lines[0]) < most:
            yield b"".join([*begun, lines.pop(0)])
            begun, size = [], 0
        if not begun and len(block) < most:  # so that none of these is too long
            if lines and not lines[-1].endswith(_ENDS):
                begun = [lines.pop()]
                size = len(begun[0])
            yield from lines
            lines = []
        for line in lines:
            size += len(line)
            if size >= most:
                raise _NotTextError("too long")
            if not line.endswith(_ENDS):
                begun.append(line)
                continue
            yield b"".join([*begun, line]) if begun else line
            begun, size = [], 0
        if nul >= 0:
            raise _NotTextError("nul")
    for line in _split(carried):
        yield b"".join([*begun, line])
        begun = []
    if begun and begun != [_CTRL_Z]:
        yield b"".join(begun)


def _split(block: bytes) -> list[bytes]:
    r"""Split after every line end, a \r\r\n taken for one.

    Example:
        >>> _split(b"a\n\nb\rc\r\nd\r\r\ne")
        [b'a\n', b'\n', b'b\r', b'c\r\n', b'd\r\r\n', b'e']
    """
    if b"\r" not in block:  # in a fifth of the time
        return BytesIO(block).readlines()
    lines = block.splitlines(keepends=True)  # of bytes, at these ends only
    if _DOUBLED not in block:
        return lines
    joined: list[bytes] = []
    for line in lines:
        if line == b"\r\n" and joined and joined[-1].endswith(b"\r"):
            joined[-1] += line
        else:
            joined.append(line)
    return joined


def _num_ends(content: bytes) -> int:
    r"""Count the line ends in bytes.

    Example:
        >>> _num_ends(b"a\nb\rc\r\nd")
        3
    """
    return len(_END.findall(content))


def _not_utf8(name: str, line: int, content: bytes, error: UnicodeDecodeError) -> DataError:
    where = f"{name}:{line + _num_ends(content[: error.start])}"
    return _not_text(where, f"not UTF-8 (byte 0x{content[error.start]:02x})")


def _not_text(where: str, reason: str) -> DataError:
    reason = reason if reason.startswith("not") else f"found {reason}"
    return DataError(f"{where}: {reason}. Save the file as UTF-8 text.")


def too_long(file: File, unit: str, line: int | None = None) -> DataError:
    """Return the error for a line, paragraph, file or value beyond the limit."""
    where = file.name if line is None else f"{file.name}:{line}"
    hint = "Give --txt paragraph or --txt line" if unit == "file" else "Divide it into documents"
    other = ", or, if it is meant so, unpack the file" if file.may_unpack else ""
    size = f"{file.most_bytes >> 20:,} MiB"
    return DataError(f"{where}: found a {unit} of {size} or more. {hint}{other}.")
