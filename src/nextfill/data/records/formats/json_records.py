"""JSON and JSON lines, one value at a time, in the memory of the largest one.

The text of a JSON file is decoded in pieces and scanned with the standard library's C scanner. A
scan that fails at the end of what is there is tried again after reading as much again, so an
element of n characters costs about 2 n, not n squared; a scan that fails earlier is an error at
once.
"""

from __future__ import annotations

import codecs
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from typing import Any, BinaryIO

from nextfill.core.errors import DataError
from nextfill.core.json_text import BIG_INTEGER_DECODER, loads, parse_shallow, repeated_key
from nextfill.data.records.fields.field_errors import MOST_SEEN, UNCLEAR
from nextfill.data.records.files import File, ReadOptions, Row, warn_once
from nextfill.data.records.formats.column_tables import looks_by_name, table_of
from nextfill.data.records.formats.compression import open_file, reading
from nextfill.data.records.formats.text_and_csv import LOOKS_LIKE_UTF16, UTF16, byte_lines, decoded

_PIECE = 1 << 16
LONGEST_LOOK = 1 << 16
"""Characters of a value in which a key that stands twice is looked for."""
_SPACE = " \t\n\r"
# At least the longest token that, cut in half, is reported at its start: `-Infinity`, `\ud83d`.
_LONGEST_TOKEN = 16


def read_jsonl(file: File, options: ReadOptions) -> Iterator[Row]:
    """Yield one record a line, blank lines are none; or the rows of a table on the only line."""
    values = _json_lines(file, strings_only=options.strings_only)
    first, second = next(values, None), next(values, None)
    if first is not None and second is None and file.range is None:
        yield from _rows(file, options, *first)
        return
    for where, value in chain(filter(None, (first, second)), values):
        # As nearly always, without a call for each.
        yield where, value if type(value) is dict else _record(value, where)


def _json_lines(file: File, *, strings_only: bool) -> Iterator[tuple[str, Any]]:
    """Yield the place and the value of each line."""
    keys = _RepeatedKeys(0 if file.is_begun else MOST_SEEN)
    name, quick = file.name, None
    for number, content in byte_lines(file):
        if quick is not None:
            try:
                yield f"{name}:{number}", quick(content)
                continue
            except ValueError:  # a blank line, or one that the reader below takes or tells
                pass
        line = decoded(file, number, content)
        if not line.strip(" \t\r\n"):
            continue
        where = f"{name}:{number}"
        try:
            value = loads(line)
        except json.JSONDecodeError as error:
            raise DataError(f"{where}: not JSON: {_of_line(error, line)}") from error
        except (ValueError, RecursionError) as error:
            raise DataError(f"{where}: JSON that cannot be read: {error}.") from error
        keys.look_at(where, line)
        yield where, value
        if strings_only and keys.are_looked_at:
            quick = _quick_loads()


def _quick_loads() -> Callable[[bytes], Any]:
    """Return a parser that refuses whatever it would read otherwise than Python's, but numbers.

    It takes half the time, and numbers beyond 64 bits for floating-point ones.
    """
    import orjson

    return orjson.loads


def _of_line(error: json.JSONDecodeError, line: str) -> str:
    """Return why a line is no JSON value, and what to do, with a full stop."""
    line = line.rstrip("\r\n")
    is_at_end = error.pos >= len(line)
    within_text = error.msg.startswith("Unterminated string") or (
        is_at_end and error.msg.startswith("Invalid control character")  # the line's end
    )
    if within_text:  # which no format continues on the next line
        return (
            f"the line ends in the middle of a text, at column {len(line)}, as one that was cut "
            "off. Write it whole, or take it out."
        )
    reason = error.msg.removesuffix(" at")
    column = min(error.pos, len(line)) + 1
    said = f"{reason} at column {column}. JSON lines hold one JSON value a line"
    if is_at_end or error.msg == "Extra data":
        said += "; values over several lines are read as .json, or with --format json"
    return f"{said}."


class _RepeatedKeys:
    """Tells of a key that stands twice in an object, by the first values of a file.

    Python keeps the last of its values, as most readers do. A look at all values would take as
    long as reading them.
    """

    def __init__(self, most: int = MOST_SEEN) -> None:
        self._left = most

    @property
    def are_looked_at(self) -> bool:
        """Whether no further value is looked at."""
        return not self._left

    def look_at(self, where: str, text: str) -> None:
        """Look at the text of a value."""
        if not self._left or len(text) > LONGEST_LOOK:
            return
        self._left -= 1
        if key := repeated_key(text):
            self._left = 0
            warn_once(
                f"{where}: {key!r} stands twice in one object: the last of its values is read",
                ["repeated key", key, text[:1000]],
            )


def read_json(file: File, options: ReadOptions) -> Iterator[Row]:
    """Yield the elements of an array, objects one after another, a single one, or its rows."""
    with reading(file.name, file.compression), open_file(file) as stream:
        values = json_values(stream, file.name, file.most_bytes)
        for number, (line, value, alone) in enumerate(values):
            # Much JSON is one line, where only the count finds the record.
            where = f"{file.name}:{line} (record {number})"
            if alone:
                yield from _rows(file, options, where, value)
            else:
                yield where, _record(value, where)


def _rows(file: File, options: ReadOptions, where: str, value: Any) -> Iterator[Row]:
    """Yield the rows of a table, the parts of an object divided, or a record as it is."""
    record = _record(value, where)
    if isinstance(record, str):
        yield where, record
        return
    table = table_of(record) if options.tables is not None else None
    elements = record.get(options.divide) if options.divide is not None else None
    if table is not None and options.tables is not None:
        options.tables[file.name], rows = table
        for number, row in enumerate(rows):
            yield f"{where.partition(' (record')[0]} (row {number} of its columns)", row
    elif file.format == "json" and isinstance(elements, list):
        for number, element in enumerate(elements):
            at = where.replace("(record 0)", f"(record {number})")
            yield at, {**record, str(options.divide): [element]}
    else:
        yield f"{where}{UNCLEAR if looks_by_name(record) else ''}", record


def _record(value: Any, where: str) -> Mapping[str, Any] | str:
    """Return a JSON value that can be a record."""
    if isinstance(value, (dict, str)):
        return value
    kinds = {list: "an array", bool: "true or false", type(None): "null"}
    kind = kinds.get(type(value), "a number")
    raise DataError(f"{where}: found {kind} where a record was expected: an object or a string.")


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
        self._keys = _RepeatedKeys()
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
