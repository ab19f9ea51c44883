"""Records of JSON and JSON lines: a value each, the rows of a table, or the parts of an object."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from typing import Any

from nextfill.core.errors import DataError
from nextfill.core.json_text import loads
from nextfill.data.records.fields.field_errors import MOST_SEEN, UNCLEAR
from nextfill.data.records.files import File, ReadOptions, Row
from nextfill.data.records.formats.column_tables import looks_by_name, table_of
from nextfill.data.records.formats.compression import open_file, reading
from nextfill.data.records.formats.json_stream import json_values
from nextfill.data.records.formats.repeated_keys import RepeatedKeys
from nextfill.data.records.formats.text_lines import byte_lines, decoded


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
    keys = RepeatedKeys(0 if file.is_begun else MOST_SEEN)
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
