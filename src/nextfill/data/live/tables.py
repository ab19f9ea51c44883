"""Data that lie in columns (data frames, tables, data sets) as Parquet, a batch at a time."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

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
    """

    tables: Iterable[pa.Table]
    noun: str = "rows"


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
        return _frame(value) if column is None else Columns([column], "texts")


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

    pandas = sys.modules.get("pandas")
    if pandas is not None and isinstance(value, pandas.DataFrame):
        return Columns([_of_pandas(value)])
    if isinstance(value, pa.RecordBatch):
        return Columns([pa.Table.from_batches([value])])
    polars = sys.modules.get("polars")
    if polars is not None and isinstance(value, polars.LazyFrame):
        value = value.collect()
    if hasattr(value, "__arrow_c_stream__"):
        reader = pa.RecordBatchReader.from_stream(value)
        return Columns(pa.Table.from_batches([batch]) for batch in reader)
    return None


def _of_pandas(frame: Any) -> pa.Table:
    """Return a data frame's columns, without those of mixed types, which no column can hold.

    They are missing where the text is looked for, and so named there if it lies in one.
    """
    import pyarrow as pa

    try:
        return pa.Table.from_pandas(frame, preserve_index=False)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        held = [at for at in range(frame.shape[1]) if _is_of_one_type(frame.iloc[:, at])]
        if not held:
            raise
        return pa.Table.from_pandas(frame.iloc[:, held], preserve_index=False)


def _is_of_one_type(column: Any) -> bool:
    import pyarrow as pa

    try:
        pa.Array.from_pandas(column)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return False
    return True


def _plain(table: pa.Table) -> pa.Table:
    """Return a table whose texts of few kinds (Categorical, Enum) are plain texts."""
    import pyarrow as pa

    for at, field in enumerate(table.schema):
        kind = field.type
        if pa.types.is_dictionary(kind) and pa.types.is_string_view(kind.value_type):
            chunks = [
                chunk.dictionary.cast(pa.large_string()).take(chunk.indices)
                for chunk in table.column(at).chunks
            ]
            column = pa.chunked_array(chunks, pa.large_string())
            table = table.set_column(at, pa.field(field.name, pa.large_string()), column)
    return table


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
            # The metadata are no content, and the name is made of that.
            bare = _plain(table).replace_schema_metadata(None)
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
    except (pa.ArrowException, ValueError, TypeError) as error:
        reason = "; ".join(map(str, error.args))
        raise DataError(
            f"{keyword}: cannot be read as columns ({reason}). Each column must hold values of one "
            "type; leave out the others, or pass a list of dicts."
        ) from error
