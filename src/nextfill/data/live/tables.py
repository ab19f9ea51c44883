"""Data that lie in columns (data frames, tables, data sets) as Parquet, a batch at a time."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, BinaryIO

from nextfill.data.live.rows import rows_of_batches, rows_of_pandas, rows_of_polars
from nextfill.data.live.stored import as_stored, stored_schema
from nextfill.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

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

    Args:
        keyword: What messages call it.
        value: Live data of any kind.

    Returns:
        The columns of a `datasets.Dataset`, of a data frame or a column of pandas, polars or
        PyArrow, and of anything else that hands on Arrow's C stream; None for records that come
        one by one.

    Raises:
        DataError: If a data frame holds what no column can.

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
    """Write tables of one schema as a Parquet file.

    Args:
        tables: The tables.
        keyword: What messages call them.
        file: Open for writing.
        tell: Called after each table.

    Returns:
        How many rows.

    Raises:
        DataError: If Parquet lacks one of their types.
    """
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
