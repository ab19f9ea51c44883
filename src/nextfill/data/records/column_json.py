"""JSON that holds a table by columns, as pandas and others write it, read as rows.

Only what is the sole object of its file can be one, and only if the whole of it has one of the
shapes below. Anything else is a record, as it always was; and an array around an object,
``[{...}]``, says that it is a record whatever its shape.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

Rows = Iterator[Mapping[str, Any]]

_NUMBER = re.compile(r"-?\d+|\d{4}-\d\d-\d\d(T[\d:.]+Z?)?")
"""A row's number, or the time that a row has in its place."""

UNCLEAR = ", the only record"
"""Ends the place of a record that may be a table, for messages."""

AS_ROWS = (
    " If it is a table, write it as rows, with pandas by frame.to_json(FILE, orient='records', "
    "lines=True); else name the text with --text-field."
)
"""What to do about it."""

_MOST_FIELDS = 8
"""Texts beside one another that may be the fields of one record."""

_SERIES_FIELD = "text"
"""What a column that has no name is called."""


def table_of(value: Mapping[str, Any]) -> tuple[str, Rows] | None:
    """Return the shape of a table and its rows, or None for a record.

    Example:
        >>> shape, rows = table_of({"id": [1, 2], "text": ["one", "two"]})
        >>> shape, list(rows)
        ('lists of one length', [{'id': 1, 'text': 'one'}, {'id': 2, 'text': 'two'}])
        >>> table_of({"version": "1", "data": [{"text": "one"}]}) is None
        True
    """
    for shape, find in _SHAPES.items():
        rows = find(value)
        if rows is not None:
            return shape, rows
    return None


def looks_by_name(value: Mapping[str, Any]) -> bool:
    """Tell whether the only object of a file may be a table whose rows have names.

    That is an object of objects of the same fields, or of very many texts alone: only its writer
    knows whether the names are those of fields or of rows, so that it is a record, and none of
    them is advised.

    Example:
        >>> looks_by_name({"text": {"first": "one", "second": "two"}})
        True
    """
    inner = list(value.values())
    if len(inner) > _MOST_FIELDS and all(one is None or isinstance(one, str) for one in inner):
        return True
    first = inner[0] if inner else None
    return isinstance(first, Mapping) and all(
        isinstance(one, Mapping) and one.keys() == first.keys() for one in inner
    )


def _split(value: Mapping[str, Any]) -> Rows | None:
    """Return the rows of names beside lists of values, of a frame or of one column."""
    data = value.get("data")
    if not isinstance(data, list):
        return None
    if value.keys() == {"name", "index", "data"}:
        name = _SERIES_FIELD if value["name"] is None else str(value["name"])
        return ({name: cell} for cell in data)
    names = value.get("columns")
    others = value.keys() - {"columns", "data", "index", "index_names", "column_names"}
    if others or not isinstance(names, list) or not names:
        return None
    if not all(isinstance(row, list) and len(row) == len(names) for row in data):
        return None
    # Of several levels, as pandas has them, a name is a list.
    keys = [".".join(map(str, name)) if isinstance(name, list) else str(name) for name in names]
    if len(set(keys)) < len(keys):
        return None
    return (dict(zip(keys, row, strict=True)) for row in data)


def _with_schema(value: Mapping[str, Any]) -> Rows | None:
    """Return the rows beside a schema of their fields."""
    if value.keys() != {"schema", "data"} or not isinstance(value["schema"], Mapping):
        return None
    data, fields = value["data"], value["schema"].get("fields")
    are_rows = isinstance(data, list) and all(isinstance(row, Mapping) for row in data)
    return iter(data) if are_rows and isinstance(fields, list) else None


def _listed(value: Mapping[str, Any]) -> Rows | None:
    """Return the rows of columns that are objects in a list, as older releases of polars wrote."""
    columns = value.get("columns")
    if value.keys() != {"columns"} or not isinstance(columns, list):
        return None
    found: dict[str, Any] = {}
    for column in columns:
        if not isinstance(column, Mapping) or not {"name", "values"} <= column.keys():
            return None
        found[str(column["name"])] = column["values"]
    return _lists(found)


def _lists(value: Mapping[str, Any]) -> Rows | None:
    """Return the rows of lists of one length, where one of them holds text."""
    columns = list(value.values())
    if not columns or not all(isinstance(column, list) for column in columns):
        return None
    if len({len(column) for column in columns}) > 1:
        return None
    if not any(isinstance(cell, str) for column in columns for cell in column):
        return None
    return (dict(zip(value, row, strict=True)) for row in zip(*columns, strict=True))


def _by_row_number(value: Mapping[str, Any]) -> Rows | None:
    """Return the rows of columns that are objects with the rows' numbers for names."""
    columns = list(value.values())
    if not columns or not all(isinstance(column, Mapping) for column in columns):
        return None
    numbers = list(columns[0])
    if not _are_numbers(numbers) or any(list(column) != numbers for column in columns):
        return None
    return ({name: column[number] for name, column in value.items()} for number in numbers)


def _numbered(value: Mapping[str, Any]) -> Rows | None:
    """Return the rows that have their numbers for names: objects of the same fields, or texts."""
    rows = list(value.values())
    if not _are_numbers(list(value)):
        return None
    if all(isinstance(row, Mapping) and row.keys() == rows[0].keys() for row in rows):
        return iter(rows)
    if all(row is None or isinstance(row, str) for row in rows):
        return ({_SERIES_FIELD: row} for row in rows)
    return None


def _are_numbers(names: list[str]) -> bool:
    return bool(names) and all(map(_NUMBER.fullmatch, names))


_SHAPES: dict[str, Callable[[Mapping[str, Any]], Rows | None]] = {
    "names and rows (split)": _split,
    "rows with a schema (table)": _with_schema,
    "columns by row number": _by_row_number,
    "rows by number": _numbered,
    "columns in a list": _listed,
    "lists of one length": _lists,
}
"""The shapes, in the order in which they are tried; the names of pandas in brackets."""
