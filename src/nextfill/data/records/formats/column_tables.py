"""Tables by columns, read as rows: Parquet, Arrow, and JSON as pandas and others write it.

Of JSON, only the sole object of a file can be a table, and only if the whole of it has one of the
shapes below. Anything else is a record; and an array around an object, ``[{...}]``, makes it a
record whatever its shape.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO

from nextfill.core.errors import DataError
from nextfill.data.records.fields.field_paths import leading_keys
from nextfill.data.records.files import File, ReadOptions, Row
from nextfill.data.records.formats.compression import error_text, reading, seekable

if TYPE_CHECKING:
    import pyarrow as pa

Rows = Iterator[Mapping[str, Any]]

# Rows held as Python objects at once; longer batches are no faster.
_ROWS = 256
_ARROW_FILE = b"ARROW1"

_NUMBER = re.compile(r"-?\d+|\d{4}-\d\d-\d\d(T[\d:.]+Z?)?")
"""A row's number, or the time that a row has in its place."""

_MOST_FIELDS = 8
"""Texts beside one another that may be the fields of one record."""

_SERIES_FIELD = "text"
"""The name of a column without one."""


def read_parquet(file: File, options: ReadOptions) -> Iterator[Row]:
    """Yield one record a row; where the text is one column, only that is read."""
    import pyarrow.parquet as pq

    with _table(file, "Parquet") as stream:
        table = pq.ParquetFile(stream)
        columns = columns_for(options.fields, table.schema_arrow)
        groups = None if file.range is None else [*range(file.range.begin, file.range.end)]
        batches = table.iter_batches(_ROWS, columns=columns, row_groups=groups)
        yield from _rows(file, "Parquet", batches, columns)


def read_arrow(file: File, options: ReadOptions) -> Iterator[Row]:
    """Yield one record a row of an Arrow file or stream, such as `datasets` saves."""
    with _table(file, "Arrow") as stream:
        schema, batches = _open_arrow(stream)
        yield from _rows(file, "Arrow", batches, columns_for(options.fields, schema))


def row_groups(file: File) -> list[tuple[int, int]]:
    """Return the rows, and the bytes, of each row group of a Parquet file."""
    import pyarrow.parquet as pq

    with _table(file, "Parquet") as stream:
        metadata = pq.ParquetFile(stream).metadata
        groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
        return [(int(one.num_rows), int(one.total_byte_size)) for one in groups]


def count_rows(file: File) -> int:
    """Count the rows of a table by its metadata, without reading them."""
    if file.format == "parquet":
        import pyarrow.parquet as pq

        with _table(file, "Parquet") as stream:
            return int(pq.ParquetFile(stream).metadata.num_rows)
    with _table(file, "Arrow") as stream:
        return sum(batch.num_rows for batch in _open_arrow(stream)[1])


def _open_arrow(stream: BinaryIO) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    """Return the schema and the batches of an Arrow file or stream."""
    from pyarrow import ipc

    begins = stream.read(len(_ARROW_FILE))
    stream.seek(0)
    if begins == _ARROW_FILE:
        table = ipc.open_file(stream)
        return table.schema, (table.get_batch(n) for n in range(table.num_record_batches))
    messages = ipc.open_stream(stream)
    return messages.schema, iter(messages)


def columns_for(paths: Sequence[str], schema: pa.Schema) -> list[str] | None:
    """Return the only columns of a table that paths need, or None for all."""
    from pyarrow import types

    names = schema.names
    matches = ((name for name, _ in leading_keys(path) if name in names) for path in paths)
    first = [next(names_on_path, None) for names_on_path in matches]
    columns = [name for name in dict.fromkeys(first) if name and names.count(name) == 1]
    if not first or None in first or len(columns) < len(set(first)):
        return None
    return None if types.is_primitive(schema.field(columns[0]).type) else columns


def _rows(
    file: File, kind: str, batches: Iterator[pa.RecordBatch], columns: list[str] | None
) -> Iterator[Row]:
    """Yield the rows of batches, numbered."""
    import pyarrow as pa

    number = file.before
    try:
        for batch in batches:
            # Columns are found by prefix: where `a` is read, so is another named `a.b`.
            exact = batch.select(columns) if columns else batch
            # Offsets beyond a damaged file's own data would be followed into other memory.
            exact.validate(full=True)
            for start in range(0, exact.num_rows, _ROWS):
                for row in exact.slice(start, _ROWS).to_pylist():
                    yield f"{file.name} (row {number})", row
                    number += 1
    except (pa.ArrowException, UnicodeDecodeError, MemoryError) as error:
        raise _damaged(file.name, kind, error, number) from error
    except (ValueError, OverflowError) as error:
        raise unreadable_value(file.name, number, error) from error


@contextmanager
def _table(file: File, kind: str) -> Iterator[BinaryIO]:
    """Open a table for random access, and turn the errors of its frame into a `DataError`."""
    import pyarrow as pa

    with reading(file.name, file.compression), seekable(file) as stream:
        try:
            yield stream
        except (pa.ArrowException, UnicodeDecodeError, MemoryError) as error:
            raise _damaged(file.name, kind, error) from error
        except OSError as error:
            if error.errno is not None:
                raise
            raise _damaged(file.name, kind, error) from error


def _damaged(name: str, kind: str, error: Exception, number: int = 0) -> DataError:
    # Lengths that cannot be are asked of the memory, too.
    is_memory = isinstance(error, MemoryError)
    reason = "it needs more memory than there is" if is_memory else error_text(error)
    return DataError(
        f"{name}: damaged or not {kind}, at row {number}: {reason}. Fetch the file again."
    )


def unreadable_value(name: str, number: int, error: Exception) -> DataError:
    """Return the error for a value of a table that Python cannot hold, such as the year 29349."""
    return DataError(
        f"{name}: a value in the rows from {number} on cannot be read ({error}). "
        "With --text-field, only the column of the text is read."
    )


def table_of(value: Mapping[str, Any]) -> tuple[str, Rows] | None:
    """Return the shape of a table and its rows, or None for a record.

    Example:
        >>> shape, rows = table_of({"id": [1, 2], "text": ["one", "two"]})
        >>> shape, list(rows)
        ('lists of one length', [{'id': 1, 'text': 'one'}, {'id': 2, 'text': 'two'}])
        >>> table_of({"version": "1", "data": [{"text": "one"}]}) is None
        True
    """
    tried = ((shape, find(value)) for shape, find in _SHAPES.items())
    return next(((shape, rows) for shape, rows in tried if rows is not None), None)


def looks_by_name(value: Mapping[str, Any]) -> bool:
    """Check whether the only object of a file may be a table whose rows have names.

    That is an object of objects of the same fields, or of very many texts alone: only its writer
    knows whether the names are those of fields or of rows, so that it is read as a record, and
    messages advise none of the names.

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
    cells: dict[str, Any] = {}
    for column in columns:
        if not isinstance(column, Mapping) or not {"name", "values"} <= column.keys():
            return None
        cells[str(column["name"])] = column["values"]
    return _lists(cells)


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
