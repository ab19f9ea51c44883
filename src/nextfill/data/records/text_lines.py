"""Text from files: line by line or whole, and what is no text is refused with its line.

Nothing here holds more than a line, or a document of at most `File.most_bytes`, so that a file that
unpacks to a thousand times its size costs time and no memory.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO, Literal

from nextfill.core.errors import DataError
from nextfill.data.records.decompression import open_file, reading
from nextfill.data.records.files import File

_BOM = b"\xef\xbb\xbf"
UTF16 = (b"\xff\xfe", b"\xfe\xff")
_BUFFER_BYTES = 1 << 17
_ENDS = (b"\n", b"\r")
_DOUBLED = b"\r\r\n"
_END = re.compile(rb"\r?\r?\n|\r")
_CTRL_Z = b"\x1a"
_NUL = "a NUL character, which no text has"
LOOKS_LIKE_UTF16 = (
    "not UTF-8 (it looks like UTF-16, which Windows calls Unicode; "
    "iconv -f UTF-16 -t UTF-8 OLD > NEW turns it)"
)

_Found = Literal["", "nul", "utf-16", "too long"]


class _NotTextError(Exception):
    """The line that would come next is none."""

    def __init__(self, found: _Found) -> None:
        self.found = found


def _lines(stream: BinaryIO, most: int) -> Iterator[bytes]:
    """Yield the lines of a file with their ends, up to a NUL or a line that is too long.

    Looking at blocks, not lines, costs nothing; and the lines before have been read when the error
    comes, so that they tell its line.
    """
    held: list[bytes] = []  # the line that has begun, in pieces
    size, carried, begun = 0, b"", False
    while block := stream.read(_BUFFER_BYTES):
        if not begun and block.startswith(UTF16):
            raise _NotTextError("utf-16")
        begun, block = True, carried + block
        nul = block.find(b"\0")
        block = block if nul < 0 else block[:nul]
        # What may be the first half of a line's end waits for the second.
        waits = min(len(block) - len(block.rstrip(b"\r")), 2) if nul < 0 else 0
        block, carried = block[: len(block) - waits], block[len(block) - waits :]
        for line in _split(block):
            size += len(line)
            if size >= most:
                raise _NotTextError("too long")
            if not line.endswith(_ENDS):
                held.append(line)
                continue
            yield b"".join([*held, line]) if held else line
            held, size = [], 0
        if nul >= 0:
            raise _NotTextError("nul")
    for line in _split(carried):
        yield b"".join([*held, line])
        held = []
    if held and held != [_CTRL_Z]:
        yield b"".join(held)


def _split(block: bytes) -> list[bytes]:
    r"""Split after every line end, a \r\r\n taken for one.

    Example:
        >>> _split(b"a\n\nb\rc\r\nd\r\r\ne")
        [b'a\n', b'\n', b'b\r', b'c\r\n', b'd\r\r\n', b'e']
    """
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


def without_end(line: str) -> str:
    r"""Return a line without what ends it.

    Example:
        >>> without_end("a\r\n"), without_end("b\r"), without_end("c\x0b")
        ('a', 'b', 'c\x0b')
    """
    return line.rstrip("\r\n")


def text_lines(file: File) -> Iterator[tuple[int, str]]:
    r"""Yield (line number from 1, line with its line end).

    A line ends as in Python's text files: at \n, \r\n or \r alone, and at no other character; also
    at the \r\r\n of a Windows file that was written as text a second time. A Ctrl-Z alone on the
    last line is the end of the file, as DOS has it.
    """
    number = 0
    with reading(file.name, file.compression), open_file(file) as stream:
        try:
            for number, raw in enumerate(_lines(stream, file.most_bytes), start=1):
                content = raw.removeprefix(_BOM) if number == 1 else raw
                try:
                    yield number, content.decode("utf-8")
                except UnicodeDecodeError as error:
                    raise not_utf8(file.name, number, content, error) from error
        except _NotTextError as error:
            number += 1
            if error.found == "too long":
                raise too_long(file, "line", number) from None
            found = _NUL if error.found == "nul" else LOOKS_LIKE_UTF16
            raise _not_text(f"{file.name}:{number}", found) from None


def whole_text(file: File) -> str:
    """Return all of a text file as it is, but for a byte order mark."""
    with reading(file.name, file.compression), open_file(file) as stream:
        raw = stream.read(file.most_bytes)
    if len(raw) == file.most_bytes:
        raise too_long(file, "file")
    if raw.startswith(UTF16):
        raise _not_text(f"{file.name}:1", LOOKS_LIKE_UTF16)
    if (nul := raw.find(b"\0")) >= 0:
        raise _not_text(f"{file.name}:{1 + num_ends(raw[:nul])}", _NUL)
    content = raw.removeprefix(_BOM)
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise not_utf8(file.name, 1, content, error) from error


def num_ends(content: bytes) -> int:
    r"""Count the line ends in bytes.

    Example:
        >>> num_ends(b"a\nb\rc\r\nd")
        3
    """
    return len(_END.findall(content))


def not_utf8(name: str, line: int, content: bytes, error: UnicodeDecodeError) -> DataError:
    """Return the error for bytes that are not UTF-8."""
    where = f"{name}:{line + num_ends(content[: error.start])}"
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
