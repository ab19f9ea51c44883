"""JSON that holds a table by columns, as pandas writes it, and JSON numbers of any size."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

_SPLIT = ({"columns", "data"}, {"columns", "index", "data"})


def rows_of_columns(value: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """Take the rows out of an object that is the whole of a file, where it holds columns.

    Args:
        value: The object.

    Returns:
        The rows, or None for an object that is one record. Columns are pandas' own
        ``{"text": {"0": ..., "1": ...}}``, its ``orient="split"`` and ``"table"``, and lists of one
        length, of which one at least holds texts and none an object or a list.

    Example:
        >>> rows_of_columns({"id": {"0": 7, "1": 8}, "text": {"0": "a", "1": "b"}})
        [{'id': 7, 'text': 'a'}, {'id': 8, 'text': 'b'}]
        >>> rows_of_columns({"columns": ["text"], "index": [0], "data": [["a"]]})
        [{'text': 'a'}]
        >>> rows_of_columns({"title": "a record", "answers": ["a", "b"]})
    """
    columns, data = value.get("columns"), value.get("data")
    if set(value) in _SPLIT and isinstance(columns, list) and isinstance(data, list):
        names = [str(name) for name in columns]
        if all(isinstance(row, list) and len(row) == len(names) for row in data):
            return [dict(zip(names, row, strict=True)) for row in data]
    schema = value.get("schema")
    if set(value) == {"schema", "data"} and isinstance(schema, dict) and "fields" in schema:
        return list(value["data"]) if _all(dict, data) else None
    return _of_numbered(value) or _of_lists(value)


def _of_numbered(value: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """Take apart columns whose values are numbered."""
    columns = list(value.values())
    if not columns or not _all(dict, columns) or not columns[0]:
        return None
    numbers = list(columns[0])
    if not all(number.isdecimal() for number in numbers):
        return None
    if any(column.keys() != columns[0].keys() for column in columns):
        return None
    return [{name: value[name][number] for name in value} for number in numbers]


def _of_lists(value: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """Take apart columns that are lists."""
    columns = list(value.values())
    if not columns or not _all(list, columns) or len(columns[0]) < 2:
        return None
    if len({len(column) for column in columns}) > 1:
        return None
    if any(isinstance(cell, dict | list) for column in columns for cell in column):
        return None
    if not any(_all(str | None, column) and any(column) for column in columns):
        return None
    return [dict(zip(value, row, strict=True)) for row in zip(*columns, strict=True)]


def _all(kind: Any, values: Any) -> bool:
    return isinstance(values, list) and all(isinstance(value, kind) for value in values)


def _integer(digits: str) -> int | float:
    """Read an integer; one that Python will not convert is beside the text, and no one's number."""
    try:
        return int(digits)
    except ValueError:
        return -math.inf if digits.startswith("-") else math.inf


TOLERANT = json.JSONDecoder(parse_int=_integer)
"""Reads integers of any number of digits, those of thousands as infinite; slower than the other."""
