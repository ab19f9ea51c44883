"""One generator per file format: a path in, records out, streaming.

`READERS` is the whole list of what can be read. Every reader yields `(where, value)`, so that
numbering and slicing are the same for all.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from nextfill.data.reading.choice import column_for
from nextfill.data.reading.jsonstream import json_values
from nextfill.data.reading.opening import open_bytes, reading, seekable, text_lines
from nextfill.errors import DataError

TxtMode = Literal["paragraph", "line", "file"]
Row = tuple[str, Mapping[str, Any] | str]

# Rows of a Parquet file held as Python objects at once; longer batches are no faster.
_PARQUET_ROWS = 256
_OTHER_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}


@dataclass(frozen=True)
class ReadOptions:
    """What a reader may need to know beside the path.

    Args:
        txt: What a document is in plain text.
        divide: The list of a single JSON object whose elements are the records.
        text_field: Path of the text, if the user names one: of a table, the only column read.
    """

    txt: TxtMode = "paragraph"
    divide: str | None = None
    text_field: str | None = None


def read_txt(path: Path, name: str, options: ReadOptions) -> Iterator[Row]:
    """Yield plain text by paragraph, by line, or whole; line ends become a single newline."""
    lines = (
        (number, line[:-2] + "\n" if line.endswith("\r\n") else line)
        for number, line in text_lines(path, name)
    )
    if options.txt == "file":
        yield name, "".join(line for _, line in lines)
    elif options.txt == "line":
        for number, line in lines:
            yield f"{name}:{number}", line.removesuffix("\n")
    else:
        yield from _paragraphs(lines, name)


def _paragraphs(lines: Iterator[tuple[int, str]], name: str) -> Iterator[Row]:
    """Yield runs of lines that are not blank."""
    start, held = 0, list[str]()
    for number, line in lines:
        if line.strip():
            start = start if held else number
            held.append(line)
        elif held:
            yield f"{name}:{start}", "".join(held).removesuffix("\n")
            held = []
    if held:
        yield f"{name}:{start}", "".join(held).removesuffix("\n")


def read_jsonl(path: Path, name: str, options: ReadOptions) -> Iterator[Row]:
    """Yield one record a line; blank lines are none."""
    del options
    for number, line in text_lines(path, name):
        if not line.strip(" \t\r\n"):
            continue
        where = f"{name}:{number}"
        try:
            value = json.loads(line)
        except json.JSONDecodeError as error:
            raise DataError(
                f"{where}: not JSON: {error.msg} at column {error.colno}. "
                "A .jsonl file holds one JSON value a line."
            ) from error
        except (ValueError, RecursionError) as error:
            raise DataError(f"{where}: JSON that cannot be read: {error}.") from error
        yield where, _json_record(value, where)


def read_json(path: Path, name: str, options: ReadOptions) -> Iterator[Row]:
    """Yield the elements of an array, a single object, or objects one after another."""
    with reading(name), open_bytes(path) as file:
        for number, (line, value) in enumerate(json_values(file, name, options.divide)):
            # Much JSON is one line, where only the count finds the record.
            where = f"{name}:{line} (record {number})"
            yield where, _json_record(value, where)


def _json_record(value: Any, where: str) -> Mapping[str, Any] | str:
    """Check that a JSON value can be a record."""
    if isinstance(value, (dict, str)):
        return value
    kind = {list: "an array", bool: "true or false", type(None): "null"}.get(
        type(value), "a number"
    )
    raise DataError(f"{where}: found {kind} where a record was expected: an object or a string.")


def read_csv(path: Path, name: str, options: ReadOptions) -> Iterator[Row]:
    """Yield one record a row, named by the header; every value is a string."""
    del options
    # The default of 131,072 characters is less than real articles have.
    csv.field_size_limit(sys.maxsize)
    rows = csv.reader(_csv_lines(path, name), strict=True)
    header: list[str] | None = None
    while True:
        where = f"{name}:{rows.line_num + 1}"
        try:
            row = next(rows, None)
        except csv.Error as error:
            raise DataError(
                f"{where}: not CSV: {error}. Expected commas between values, and double quotes "
                "around a value that holds commas, quotes or line ends."
            ) from error
        if row is None:
            return
        if not row:
            continue
        if header is None:
            header = _csv_header(row, where)
        elif len(row) != len(header):
            raise DataError(
                f"{where}: found {len(row)} values, but the header names {len(header)}: "
                f"{', '.join(header)}. Quote values that hold a comma or a line end."
            )
        else:
            yield where, dict(zip(header, row, strict=True))


def _csv_lines(path: Path, name: str) -> Iterator[str]:
    """Yield the lines, refusing NUL, which is a sign of UTF-16 or of a binary file."""
    for number, line in text_lines(path, name):
        if "\0" in line:
            raise DataError(f"{name}:{number}: found a NUL character. Save the file as UTF-8 CSV.")
        yield line


def _csv_header(row: list[str], where: str) -> list[str]:
    """Check that commas separate the names in a header, and that they are distinct."""
    other = next((mark for mark in _OTHER_SEPARATORS if len(row) == 1 and mark in row[0]), None)
    if other:
        raise DataError(
            f"{where}: looks separated by {_OTHER_SEPARATORS[other]}, only commas are read. "
            "Save the file with commas between values."
        )
    twice = sorted({column for column in row if row.count(column) > 1})
    if twice:
        raise DataError(
            f"{where}: the header names {', '.join(map(repr, twice))} more than once. "
            "The first row must hold the columns' names."
        )
    return row


def read_parquet(path: Path, name: str, options: ReadOptions) -> Iterator[Row]:
    """Yield one record a row, a small batch in memory at a time."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    with reading(name), seekable(path) as file:
        try:
            table = pq.ParquetFile(file)
            column = column_for(options.text_field, table.schema_arrow)
            columns = None if column is None else [column]
            for batch in table.iter_batches(_PARQUET_ROWS, columns=columns):
                # Columns are found by prefix: where `a` is read, so is another named `a.b`.
                for row in (batch.select(columns) if columns else batch).to_pylist():
                    yield f"{name} (row {number})", row
                    number += 1
        except (pa.ArrowException, UnicodeDecodeError) as error:
            raise DataError(f"{name}: damaged or not Parquet, at row {number}: {error}") from error
        except (ValueError, OverflowError) as error:
            raise unreadable_value(name, number, error) from error


def unreadable_value(name: str, number: int, error: Exception) -> DataError:
    """Return the error for a value of a table that Python cannot hold, such as the year 29349.

    Args:
        name: The table's name for messages.
        number: Rows read before.
        error: What Python says.
    """
    return DataError(
        f"{name}: a value in the rows from {number} on cannot be read ({error}). "
        "With --text-field, only the column of the text is read."
    )


Reader = Callable[[Path, str, ReadOptions], Iterator[Row]]

READERS: dict[str, Reader] = {
    ".txt": read_txt,
    ".jsonl": read_jsonl,
    ".json": read_json,
    ".csv": read_csv,
    ".parquet": read_parquet,
}
