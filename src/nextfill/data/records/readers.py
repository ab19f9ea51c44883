"""One generator per file format: a file in, records out, streaming."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from typing import Any

from nextfill.core.errors import DataError
from nextfill.core.json_text import loads
from nextfill.data.records.arrow_tables import read_arrow, read_parquet
from nextfill.data.records.column_json import UNCLEAR, looks_by_name, table_of
from nextfill.data.records.decompression import open_file, reading
from nextfill.data.records.file_formats import txt_mode
from nextfill.data.records.files import File
from nextfill.data.records.json_stream import json_values
from nextfill.data.records.read_options import ReadOptions, Row
from nextfill.data.records.text_lines import text_lines, too_long, whole_text, without_end

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


_LINE_BYTES = 56
"""What a line takes as a Python object, beside its characters."""


def read_txt(file: File, options: ReadOptions) -> Iterator[Row]:
    """Yield plain text by paragraph or line, whose line ends become a newline; or whole, as is."""
    mode = txt_mode(options.txt, file.format, several=options.several)
    if mode == "file":
        yield file.name, whole_text(file)
        return
    if mode == "line":
        for number, line in text_lines(file):
            yield f"{file.name}:{number}", without_end(line)
    else:
        yield from _paragraphs(file)


def _paragraphs(file: File) -> Iterator[Row]:
    """Yield runs of lines that are not blank."""
    start, held, size, most = 0, list[str](), 0, file.most_bytes
    for number, line in text_lines(file):
        if line and not line.isspace():
            start = start if held else number
            held.append(line)
            size += len(line) + _LINE_BYTES
            if size >= most:
                raise too_long(file, "paragraph", start)
        elif held:
            yield f"{file.name}:{start}", _joined(held)
            held, size = [], 0
    if held:
        yield f"{file.name}:{start}", _joined(held)


def _joined(lines: list[str]) -> str:
    return "\n".join(map(without_end, lines))


def read_jsonl(file: File, options: ReadOptions) -> Iterator[Row]:
    """Yield one record a line, blank lines are none; or the rows of a table on the only line."""
    values = _json_lines(file)
    first, second = next(values, None), next(values, None)
    if first is not None and second is None:
        yield from _rows(file, options, *first)
        return
    for where, value in chain(filter(None, (first, second)), values):
        yield where, _json_record(value, where)


def _json_lines(file: File) -> Iterator[tuple[str, Any]]:
    """Yield where a line stands, and its value."""
    for number, line in text_lines(file):
        if not line.strip(" \t\r\n"):
            continue
        where = f"{file.name}:{number}"
        try:
            value = loads(line)
        except json.JSONDecodeError as error:
            raise DataError(
                f"{where}: not JSON: {error.msg} at column {error.colno}. JSON lines hold one JSON "
                "value a line; values over several lines are read as .json, or with --format json."
            ) from error
        except (ValueError, RecursionError) as error:
            raise DataError(f"{where}: JSON that cannot be read: {error}.") from error
        yield where, value


def read_json(file: File, options: ReadOptions) -> Iterator[Row]:
    """Yield the elements of an array, objects one after another, a single one, or its rows."""
    with reading(file.name, file.compression), open_file(file) as stream:
        for number, (line, value, alone) in enumerate(
            json_values(stream, file.name, file.most_bytes)
        ):
            # Much JSON is one line, where only the count finds the record.
            where = f"{file.name}:{line} (record {number})"
            if alone:
                yield from _rows(file, options, where, value)
            else:
                yield where, _json_record(value, where)


def _rows(file: File, options: ReadOptions, where: str, value: Any) -> Iterator[Row]:
    """Yield the rows of a table, the parts of an object divided, or a record as it is."""
    record = _json_record(value, where)
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


def _json_record(value: Any, where: str) -> Mapping[str, Any] | str:
    """Check that a JSON value can be a record."""
    if isinstance(value, (dict, str)):
        return value
    kind = {list: "an array", bool: "true or false", type(None): "null"}.get(
        type(value), "a number"
    )
    raise DataError(f"{where}: found {kind} where a record was expected: an object or a string.")


Reader = Callable[[File, ReadOptions], Iterator[Row]]

READERS: dict[str, Reader] = {
    "txt": read_txt,
    "md": read_txt,
    "jsonl": read_jsonl,
    "json": read_json,
    "csv": read_csv,
    "tsv": read_tsv,
    "parquet": read_parquet,
    "arrow": read_arrow,
}
