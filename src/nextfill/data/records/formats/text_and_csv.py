"""Plain text, CSV and TSV: the records made of the lines of text files.

Nothing here holds more than a document of at most `File.most_bytes`, so that a file that unpacks to
a thousand times its size costs time and no memory.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from itertools import chain

from nextfill.core.amounts import amount
from nextfill.core.errors import DataError
from nextfill.data.records.files import File, ReadOptions, Row
from nextfill.data.records.formats.file_formats import txt_mode
from nextfill.data.records.formats.text_lines import text_lines, too_long, whole_text

_ENDS_OF_LINES = re.compile(r"\r?\r?\n|\r")
_LAST = "\n\x1a"
RETURNS = "carriage returns"
"""What the ledger calls those that stood at the ends of lines."""

_LINE_BYTES = 56
"""The size of a line as a Python object, beside its characters."""

_NAMES = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_KINDS = {",": "CSV", "\t": "TSV"}
SEPARATED = "separated by "
"""Begins the shape of a table of text with another separator than its name says."""

_SEPARATOR = re.compile(r'"?sep=([,;\t|])"?[\r\n]*')


def read_txt(file: File, options: ReadOptions) -> Iterator[Row]:
    """Yield plain text by paragraph or line, or whole; the ends of its lines become a newline."""
    mode = txt_mode(options, file.format)
    if mode == "file":
        text = whole_text(file)
        if returns := text.count("\r"):
            options.beside_text[file.name] = {RETURNS: returns}
            text = _ENDS_OF_LINES.sub("\n", text)
        yield file.name, text[:-1] if text.endswith(_LAST) else text
    elif mode == "line":
        for number, line in text_lines(file):
            yield f"{file.name}:{number}", _without_end(line)
    else:
        yield from _paragraphs(file)


def _paragraphs(file: File) -> Iterator[Row]:
    """Yield runs of lines that are not blank."""
    start, lines, size, most = 0, list[str](), 0, file.most_bytes
    for number, line in chain(text_lines(file), [(0, "")]):  # a blank line after the last
        if line and not line.isspace():
            start = start if lines else number
            lines.append(line)
            size += len(line) + _LINE_BYTES
            if size >= most:
                raise too_long(file, "paragraph", start)
        elif lines:
            yield f"{file.name}:{start}", "\n".join(map(_without_end, lines))
            lines, size = [], 0


def read_delimited(file: File, options: ReadOptions, *, mark: str) -> Iterator[Row]:
    """Yield one record a row of CSV or TSV, named by the header; every value is a string."""
    # The default of 131,072 characters is less than real articles have.
    csv.field_size_limit(file.most_bytes)
    lines = (line for _, line in text_lines(file))
    first = next(lines, "")
    # Excel's own way to name the separator.
    named = _SEPARATOR.fullmatch(first)
    before = 1 if named else 0
    if named:
        mark = named[1]
    else:
        found = _separator(first, mark)
        if found != mark and options.tables is not None:
            options.tables[file.name] = f"{SEPARATED}{_NAMES[found]}"
        mark = found
    rows = csv.reader(lines if named else chain([first], lines), delimiter=mark, strict=True)
    header: list[str] | None = None
    while True:
        where = f"{file.name}:{rows.line_num + 1 + before}"
        try:
            row = next(rows, None)
        except csv.Error as error:
            reason = str(error).replace("'\t'", "a tab")  # which does not show
            kind = _KINDS.get(mark, "CSV")
            raise DataError(
                f"{where}: not {kind}: {reason}. Expected {_NAMES[mark]} between values, "
                f"and double quotes around a value that holds {_NAMES[mark]}, quotes or line ends."
            ) from error
        if row is None:
            return
        if not row:
            continue
        if header is None:
            header = _header(row, where)
        elif len(row) != len(header):
            raise DataError(
                f"{where}: found {amount(len(row), 'value')}, but the header names {len(header)}: "
                f"{', '.join(header)}. Quote values that hold {_NAMES[mark]} or line ends."
            )
        else:
            yield where, dict(zip(header, row, strict=True))


def _separator(header: str, mark: str) -> str:
    """Return what separates the names in a header: the mark, or another where it is not there.

    Example:
        >>> _separator("id;text", ","), _separator("text", ","), _separator('"a;b"', ",")
        (';', ',', ',')
    """
    numbers = {one: len(next(csv.reader([header], delimiter=one), [])) for one in _NAMES}
    if numbers[mark] > 1 or not header.strip():
        return mark
    most = max(numbers, key=numbers.__getitem__)
    return most if numbers[most] > 1 else mark


def _header(row: list[str], where: str) -> list[str]:
    """Check that the names in a header are distinct."""
    twice = sorted({column for column in row if row.count(column) > 1})
    if twice:
        raise DataError(
            f"{where}: the header names {', '.join(map(repr, twice))} more than once. "
            "The first row must hold the columns' names."
        )
    return row


def _without_end(line: str) -> str:
    r"""Return a line without its line end.

    Example:
        >>> _without_end("a\r\n"), _without_end("b\r"), _without_end("c\x0b")
        ('a', 'b', 'c\x0b')
    """
    return line.rstrip("\r\n")
