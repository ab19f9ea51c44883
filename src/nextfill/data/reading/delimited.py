"""Rows of text with a mark between values: commas or tabs."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from itertools import chain

from nextfill.data.reading.files import File
from nextfill.data.reading.rows import ReadOptions, Row
from nextfill.data.reading.text import text_lines
from nextfill.errors import DataError

_NAMES = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_KINDS = {",": "CSV", "\t": "TSV"}
_SEPARATOR = re.compile(r'"?sep=([,;\t|])"?[\r\n]*')


def read_csv(file: File, options: ReadOptions) -> Iterator[Row]:
    """Yield one record a row, named by the header; every value is a string."""
    del options
    return _read(file, ",")


def read_tsv(file: File, options: ReadOptions) -> Iterator[Row]:
    """Yield one record a row of values with tabs between, quoted as in CSV."""
    del options
    return _read(file, "\t")


def _read(file: File, mark: str) -> Iterator[Row]:
    # The default of 131,072 characters is less than real articles have.
    csv.field_size_limit(file.most_bytes)
    lines = (line for _, line in text_lines(file))
    first = next(lines, "")
    # Excel's own way to say what separates values.
    named = _SEPARATOR.fullmatch(first)
    mark = named[1] if named else mark
    before = 1 if named else 0
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
            header = _header(row, where, mark)
        elif len(row) != len(header):
            raise DataError(
                f"{where}: found {len(row)} values, but the header names {len(header)}: "
                f"{', '.join(header)}. Quote values that hold {_NAMES[mark]} or line ends."
            )
        else:
            yield where, dict(zip(header, row, strict=True))


def _header(row: list[str], where: str, mark: str) -> list[str]:
    """Check that the mark separates the names in a header, and that they are distinct."""
    others = [other for other in _NAMES if other != mark]
    found = next((other for other in others if len(row) == 1 and other in row[0]), None)
    if found:
        kind = next((kind for own, kind in _KINDS.items() if own == found), None)
        advice = f", or give --format {kind.lower()}" if kind else ""
        own = "" if kind or "\t" in (mark, found) else f", or put a line sep={found} before it"
        raise DataError(
            f"{where}: looks separated by {_NAMES[found]}, only {_NAMES[mark]} are read. "
            f"Save the file with {_NAMES[mark]} between values{advice}{own}."
        )
    twice = sorted({column for column in row if row.count(column) > 1})
    if twice:
        raise DataError(
            f"{where}: the header names {', '.join(map(repr, twice))} more than once. "
            "The first row must hold the columns' names."
        )
    return row
