"""One generator per file format: a file in, records out, streaming.

`READERS` is the whole list of what can be read. Every reader yields `(where, value)`, so that
numbering and slicing are the same for all.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from typing import Any

from nextfill.data.reading.columns import UNCLEAR, looks_by_name, table_of
from nextfill.data.reading.delimited import read_csv, read_tsv
from nextfill.data.reading.files import File
from nextfill.data.reading.formats import txt_mode
from nextfill.data.reading.jsonlimits import loads
from nextfill.data.reading.jsonstream import json_values
from nextfill.data.reading.opening import open_file, reading
from nextfill.data.reading.rows import ReadOptions, Row
from nextfill.data.reading.tables import read_arrow, read_parquet
from nextfill.data.reading.text import text_lines, too_long, whole_text, without_end
from nextfill.errors import DataError

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
    """Yield the rows of a table, the parts of an object divided, or a record as it is.

    Args:
        file: The file.
        options: Its options.
        where: Where the value stands.
        value: The only value of the file, in no array.
    """
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
