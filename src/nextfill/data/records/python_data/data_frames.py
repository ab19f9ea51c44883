"""Data frames, tables and data sets of a Python program as Parquet, a batch at a time."""

from __future__ import annotations

import io
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, BinaryIO

from nextfill.core.errors import DataError
from nextfill.data.records.fields.field_errors import half_character

if TYPE_CHECKING:
    import pyarrow as pa

_BATCH_ROWS = 10_000
_TEXT = "text"
_MOST_SHOWN = 40


@dataclass(frozen=True)
class Columns:
    """Data in columns.

    Args:
        tables: The data, in pieces, for one pass.
        noun: The noun of the rows: ``texts`` for a single column without a name.
        rows: The data row by row, if Parquet has no type for some column.
    """

    tables: Iterable[pa.Table] = ()
    noun: str = "rows"
    rows: Iterable[Mapping[str, Any]] | None = None


def columns_of(keyword: str, value: Any) -> Columns | None:
    """Return a value as columns, or None if it has none.

    Source:
        https://arrow.apache.org/docs/format/CDataInterface/PyCapsuleInterface.html
    """
    datasets = sys.modules.get("datasets")  # whoever holds one of its data sets has imported it
    if datasets is not None and isinstance(value, datasets.Dataset):
        if value.format["type"] == "custom":  # a function of the user's makes the rows
            return None
        return Columns(value.with_format("arrow").iter(_BATCH_ROWS))
    with _arrow(keyword):
        polars = sys.modules.get("polars")
        if polars is not None and isinstance(value, polars.Series):
            if value.dtype == polars.Struct:  # of dicts, which are records
                return _frame(value.struct.unnest())
            frame = _frame(value.to_frame("text"))
            return frame and replace(frame, noun="texts")
        column = _column(value)
        if column is None:
            return _frame(value)
        noun = "texts" if column.column_names == [_TEXT] else "rows"
        return replace(_stored(column.schema, column.to_batches()), noun=noun)


def _column(value: Any) -> pa.Table | None:
    """Return a single column without a frame as a table, None for any other value.

    Of dicts it becomes a table of their fields.
    """
    import pyarrow as pa

    pandas = sys.modules.get("pandas")
    if pandas is not None and isinstance(value, pandas.Series | pandas.Index):
        value = pa.Array.from_pandas(value)
    if not isinstance(value, pa.Array | pa.ChunkedArray):
        return None
    if pa.types.is_struct(value.type):
        names = [one.name for one in value.type.fields]
        return pa.table(dict(zip(names, value.flatten(), strict=True)))
    return pa.table({_TEXT: value})


def _frame(value: Any) -> Columns | None:
    import pyarrow as pa

    pandas, polars = sys.modules.get("pandas"), sys.modules.get("polars")
    if pandas is not None and isinstance(value, pandas.DataFrame):
        return _of_pandas(value)
    if polars is not None and isinstance(value, polars.DataFrame | polars.LazyFrame):
        return _of_polars(value.collect() if is_lazy(value) else value)
    if isinstance(value, pa.RecordBatch):
        return _stored(value.schema, [value])
    if hasattr(value, "__arrow_c_stream__"):
        return _of_stream(value)
    return None


def _of_pandas(frame: Any) -> Columns:
    import pyarrow as pa

    try:
        table = pa.Table.from_pandas(frame, preserve_index=False)
    except UnicodeEncodeError:
        raise
    except (pa.ArrowException, ValueError, TypeError, OverflowError):
        names = [str(name) for name in frame.columns]
        if len(set(names)) < len(names):
            raise
        return Columns(rows=_rows_of_pandas(frame, names))
    return _stored(table.schema, table.to_batches())


def _of_polars(frame: Any) -> Columns:
    import pyarrow as pa

    if sys.modules["polars"].Object not in frame.dtypes:  # of which Arrow gets the addresses
        with suppress(pa.ArrowException):  # a type that Arrow does not know, such as Int128
            return _of_stream(frame)
    return Columns(rows=frame.iter_rows(named=True))


def _of_stream(value: Any) -> Columns:
    import pyarrow as pa

    reader = pa.RecordBatchReader.from_stream(value)
    return _stored(reader.schema, reader)


def is_lazy(value: object) -> bool:
    """Check for a frame of polars that is not computed yet."""
    polars = sys.modules.get("polars")
    return polars is not None and isinstance(value, polars.LazyFrame)


def _rows_of_pandas(frame: Any, names: list[str]) -> Iterator[Mapping[str, Any]]:
    for start in range(0, len(frame), _BATCH_ROWS):
        part = frame.iloc[start : start + _BATCH_ROWS]
        columns = [_values(part.iloc[:, at]) for at in range(len(names))]
        for row in zip(*columns, strict=True):
            yield dict(zip(names, row, strict=True))


def _values(column: Any) -> list[Any]:
    """Return the values of a column of pandas, missing ones as None."""
    import pyarrow as pa

    try:
        return list(pa.Array.from_pandas(column).to_pylist())
    except UnicodeEncodeError:  # of half a character, an error when the row is written
        return list(column)
    except (pa.ArrowException, ValueError, TypeError, OverflowError):
        return [None if _is_missing(value) else value for value in column]


def _is_missing(value: Any) -> bool:
    pandas = sys.modules["pandas"]
    is_nan = isinstance(value, float) and math.isnan(value)
    return is_nan or value is pandas.NA or value is pandas.NaT


def _rows_of_batches(batches: Iterable[pa.RecordBatch]) -> Iterator[Mapping[str, Any]]:
    for batch in batches:
        for start in range(0, batch.num_rows, _BATCH_ROWS):
            yield from batch.slice(start, _BATCH_ROWS).to_pylist()


def _stored(schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> Columns:
    """Return batches as tables that Parquet can hold, else row by row."""
    import pyarrow as pa

    stored = _stored_schema(schema)
    if stored is None:
        return Columns(rows=_rows_of_batches(batches))
    return Columns(_as_stored(pa.Table.from_batches([batch]), stored) for batch in batches)


def _stored_schema(schema: pa.Schema) -> pa.Schema | None:
    """Return the nearest schema that Parquet can hold, or None if it has no type for a column."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    stored = pa.schema([field.with_type(_stored_type(field.type)) for field in schema])
    try:
        pq.write_table(stored.empty_table(), io.BytesIO())
    except pa.ArrowException:
        return None
    return stored


def _stored_type(original: pa.DataType) -> pa.DataType:
    """Return the nearest type that Parquet can hold."""
    import pyarrow as pa
    from pyarrow import types

    stored = original
    if types.is_run_end_encoded(original):
        stored = _stored_type(original.value_type)
    elif types.is_dictionary(original):
        inner = _stored_type(original.value_type)
        as_is = inner == original.value_type and not types.is_nested(inner)
        stored = original if as_is else inner
    elif types.is_string_view(original):
        stored = pa.large_string()
    elif types.is_binary_view(original):
        stored = pa.large_binary()
    elif types.is_struct(original):
        stored = pa.struct([one.with_type(_stored_type(one.type)) for one in original.fields])
    elif types.is_map(original):
        stored = pa.map_(_stored_type(original.key_type), _stored_type(original.item_type))
    elif types.is_fixed_size_list(original):
        stored = pa.list_(_stored_type(original.value_type), original.list_size)
    elif types.is_list(original) or types.is_list_view(original):
        stored = pa.list_(_stored_type(original.value_type))
    elif types.is_large_list(original) or types.is_large_list_view(original):
        stored = pa.large_list(_stored_type(original.value_type))
    return stored


def _as_stored(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return a table of the same values in the types of `_stored_schema`."""
    import pyarrow as pa

    columns = [
        column if column.type == field.type else _as_type(column, field.type)
        for column, field in zip(table.columns, schema, strict=True)
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def _as_type(column: pa.ChunkedArray, stored: pa.DataType) -> pa.ChunkedArray:
    import pyarrow as pa
    from pyarrow import types

    if types.is_dictionary(column.type):
        pieces = []
        for one in column.chunks:
            words = _as_type(pa.chunked_array([one.dictionary]), stored)
            pieces += words.take(one.indices).chunks
        return pa.chunked_array(pieces, stored)
    if types.is_nested(column.type) or types.is_run_end_encoded(column.type):
        # Not every cast within nested columns exists, while that of their values does.
        pieces = [pa.array(one.to_pylist(), stored) for one in column.chunks]
        return pa.chunked_array(pieces, stored)
    return column.cast(stored)


def write_tables(
    tables: Iterable[pa.Table], keyword: str, file: BinaryIO, report: Callable[[], None]
) -> int:
    """Write tables of one schema as a Parquet file, and return the number of their rows."""
    import pyarrow.parquet as pq

    rows, writer = 0, None
    with _arrow(keyword):
        for table in tables:
            # Metadata are no content, which names the file.
            bare = table.replace_schema_metadata(None)
            writer = writer or pq.ParquetWriter(file, bare.schema)
            writer.write_table(bare)
            rows += len(bare)
            report()
        if writer is not None:
            writer.close()
    return rows


@contextmanager
def _arrow(keyword: str) -> Iterator[None]:
    """Turn the errors of PyArrow into a `DataError`."""
    import pyarrow as pa

    try:
        yield
    except UnicodeEncodeError as error:
        text = error.object[:_MOST_SHOWN]
        raise half_character(f"{keyword}: the text {text!a}", error) from error
    except (pa.ArrowException, ValueError, TypeError, OverflowError) as error:
        reason = "; ".join(map(str, error.args))
        raise DataError(
            f"{keyword}: cannot be read as columns ({reason}). Each column must hold values of one "
            "type; leave out the others, or pass a list of dicts."
        ) from error
