"""Data frames, tables and data sets of a Python program as Parquet, a batch at a time."""

from __future__ import annotations

import io
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, BinaryIO

from nextfill.core.errors import DataError
from nextfill.data.records.json_lines import plain

if TYPE_CHECKING:
    import pyarrow as pa


def stored_schema(schema: pa.Schema) -> pa.Schema | None:
    """Return the schema that Parquet can hold, or None if it has no type for some column."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    stored = pa.schema([field.with_type(_stored_type(field.type)) for field in schema])
    try:
        pq.write_table(stored.empty_table(), io.BytesIO())
    except pa.ArrowException:
        return None
    return stored


def as_stored(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return a table of the same values in the types of `stored_schema`."""
    import pyarrow as pa

    columns = [
        column if column.type == field.type else _as_type(column, field.type)
        for column, field in zip(table.columns, schema, strict=True)
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def _stored_type(found: pa.DataType) -> pa.DataType:
    import pyarrow as pa
    from pyarrow import types

    made = found
    if types.is_run_end_encoded(found):
        made = _stored_type(found.value_type)
    elif types.is_dictionary(found):
        inner = _stored_type(found.value_type)
        holds = inner == found.value_type and not types.is_nested(inner)
        made = found if holds else inner
    elif types.is_string_view(found):
        made = pa.large_string()
    elif types.is_binary_view(found):
        made = pa.large_binary()
    elif types.is_struct(found):
        made = pa.struct([one.with_type(_stored_type(one.type)) for one in found.fields])
    elif types.is_map(found):
        made = pa.map_(_stored_type(found.key_type), _stored_type(found.item_type))
    elif types.is_fixed_size_list(found):
        made = pa.list_(_stored_type(found.value_type), found.list_size)
    elif types.is_list(found) or types.is_list_view(found):
        made = pa.list_(_stored_type(found.value_type))
    elif types.is_large_list(found) or types.is_large_list_view(found):
        made = pa.large_list(_stored_type(found.value_type))
    return made


def _as_type(column: pa.ChunkedArray, wanted: pa.DataType) -> pa.ChunkedArray:
    import pyarrow as pa
    from pyarrow import types

    if types.is_dictionary(column.type):
        pieces = []
        for one in column.chunks:
            words = _as_type(pa.chunked_array([one.dictionary]), wanted)
            pieces += words.take(one.indices).chunks
        return pa.chunked_array(pieces, wanted)
    if types.is_nested(column.type) or types.is_run_end_encoded(column.type):
        # Not every cast within nested columns is there, while their values are.
        pieces = [pa.array(one.to_pylist(), wanted) for one in column.chunks]
        return pa.chunked_array(pieces, wanted)
    return column.cast(wanted)


_PLAIN_BATCH_ROWS = 10_000


def any_value(value: Any) -> Any:
    """Return what JSON has for any value, what it has nothing for as its text, under its type.

    Example:
        >>> any_value(b"z"), any_value(range(2))
        ({'bytes': "b'z'"}, {'range': 'range(0, 2)'})
    """
    try:
        return plain(value)
    except TypeError:
        return {type(value).__name__: str(value)}


def rows_of_pandas(frame: Any) -> Iterator[Mapping[str, Any]] | None:
    """Return the rows of a data frame of pandas, or None if two columns have one name."""
    names = [str(name) for name in frame.columns]
    if len(set(names)) < len(names):
        return None
    return _rows_of_pandas(frame, names)


def _rows_of_pandas(frame: Any, names: list[str]) -> Iterator[Mapping[str, Any]]:
    for start in range(0, len(frame), _PLAIN_BATCH_ROWS):
        part = frame.iloc[start : start + _PLAIN_BATCH_ROWS]
        columns = [_values(part.iloc[:, at]) for at in range(len(names))]
        for row in zip(*columns, strict=True):
            yield dict(zip(names, row, strict=True))


def _values(column: Any) -> list[Any]:
    """Return the values of a column, missing ones as None."""
    import pyarrow as pa

    try:
        return list(pa.Array.from_pandas(column).to_pylist())
    except UnicodeEncodeError:  # of half a character, which is told when the row is written
        return list(column)
    except (pa.ArrowException, ValueError, TypeError, OverflowError):
        return [None if _is_missing(value) else value for value in column]


def _is_missing(value: Any) -> bool:
    pandas = sys.modules["pandas"]
    is_nan = isinstance(value, float) and math.isnan(value)
    return is_nan or value is pandas.NA or value is pandas.NaT


def rows_of_polars(frame: Any) -> Iterator[Mapping[str, Any]]:
    """Yield the rows of a data frame of polars, as polars has them."""
    yield from frame.iter_rows(named=True)


def rows_of_batches(batches: Iterator[pa.RecordBatch]) -> Iterator[Mapping[str, Any]]:
    """Yield the rows of batches."""
    for batch in batches:
        for start in range(0, batch.num_rows, _PLAIN_BATCH_ROWS):
            yield from batch.slice(start, _PLAIN_BATCH_ROWS).to_pylist()


_BATCH_ROWS = 10_000
_MOST_SHOWN = 40


@dataclass(frozen=True)
class Columns:
    """Data in columns.

    Args:
        tables: The data, in pieces, to be gone through once.
        noun: What the rows are: ``texts`` where there is but one column without a name.
        rows: The data row by row, if Parquet has no type for some column.
    """

    tables: Iterable[pa.Table] = ()
    noun: str = "rows"
    rows: Iterable[Mapping[str, Any]] | None = None


def tables_of(keyword: str, value: Any) -> Columns | None:
    """Find the columns of a value.

    Source:
        https://arrow.apache.org/docs/format/CDataInterface/PyCapsuleInterface.html
    """
    datasets = sys.modules.get("datasets")  # whoever holds one of its data sets has imported it
    if datasets is not None and isinstance(value, datasets.Dataset):
        if value.format["type"] == "custom":  # a function of the user's makes the rows
            return None
        return Columns(value.with_format("arrow").iter(_BATCH_ROWS))
    with _arrow(keyword):
        column = _column(value)
        if column is None:
            return _frame(value)
        return replace(_stored(column.schema, column.to_batches()), noun="texts")


def _column(value: Any) -> pa.Table | None:
    """Return a column that stands alone as a table."""
    import pyarrow as pa

    pandas = sys.modules.get("pandas")
    if pandas is not None and isinstance(value, pandas.Series | pandas.Index):
        return pa.table({"text": pa.Array.from_pandas(value)})
    if isinstance(value, pa.Array | pa.ChunkedArray):
        return pa.table({"text": value})
    if hasattr(value, "__arrow_c_stream__") and hasattr(value, "to_frame"):  # polars' own
        return pa.table(value.to_frame("text"))
    return None


def _frame(value: Any) -> Columns | None:
    import pyarrow as pa

    pandas, polars = sys.modules.get("pandas"), sys.modules.get("polars")
    value = value.collect() if is_lazy(value) else value
    if pandas is not None and isinstance(value, pandas.DataFrame):
        try:
            tables = pa.Table.from_pandas(value, preserve_index=False)
        except UnicodeEncodeError:
            raise
        except (pa.ArrowException, ValueError, TypeError, OverflowError):
            if (rows := rows_of_pandas(value)) is None:
                raise
            return Columns(rows=rows)
        return _stored(tables.schema, tables.to_batches())
    if isinstance(value, pa.RecordBatch):
        return _stored(value.schema, [value])
    if hasattr(value, "__arrow_c_stream__"):
        try:
            reader = pa.RecordBatchReader.from_stream(value)
        except pa.ArrowException:
            if polars is None or not isinstance(value, polars.DataFrame):
                raise
            return Columns(rows=rows_of_polars(value))
        return _stored(reader.schema, reader)
    return None


def is_lazy(value: object) -> bool:
    """Tell whether a value is a frame of polars that is still to be computed."""
    polars = sys.modules.get("polars")
    return polars is not None and isinstance(value, polars.LazyFrame)


def _stored(schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> Columns:
    """Return batches as tables that Parquet can hold, else row by row."""
    import pyarrow as pa

    stored = stored_schema(schema)
    if stored is None:
        return Columns(rows=rows_of_batches(iter(batches)))
    return Columns(as_stored(pa.Table.from_batches([batch]), stored) for batch in batches)


def write_tables(
    tables: Iterable[pa.Table], keyword: str, file: BinaryIO, tell: Callable[[], None]
) -> int:
    """Write tables of one schema as a Parquet file."""
    import pyarrow.parquet as pq

    rows, writer = 0, None
    with _arrow(keyword):
        for table in tables:
            bare = table.replace_schema_metadata(
                None
            )  # it is no content, and the name is made of that
            writer = writer or pq.ParquetWriter(file, bare.schema)
            writer.write_table(bare)
            rows += len(bare)
            tell()
        if writer is not None:
            writer.close()
    return rows


@contextmanager
def _arrow(keyword: str) -> Iterator[None]:
    """Turn what PyArrow cannot hold into a `DataError`."""
    import pyarrow as pa

    try:
        yield
    except UnicodeEncodeError as error:
        found = f"\\u{ord(error.object[error.start]):04x}"
        text = error.object if len(error.object) <= _MOST_SHOWN else error.object[:_MOST_SHOWN]
        raise DataError(
            f"{keyword}: the text {text!a} holds {found}, half of a surrogate pair, which is "
            "not a character. Write the text again with whole characters."
        ) from error
    except (pa.ArrowException, ValueError, TypeError, OverflowError) as error:
        reason = "; ".join(map(str, error.args))
        raise DataError(
            f"{keyword}: cannot be read as columns ({reason}). Each column must hold values of one "
            "type; leave out the others, or pass a list of dicts."
        ) from error
