"""Tables: Parquet, and Arrow as a file or as a stream, a small batch of rows at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

from nextfill.core.errors import DataError
from nextfill.data.records.decompression import reading, said, seekable
from nextfill.data.records.files import File
from nextfill.data.records.read_options import ReadOptions, Row
from nextfill.data.records.text_field import columns_for

if TYPE_CHECKING:
    import pyarrow as pa

# Rows held as Python objects at once; longer batches are no faster.
_ROWS = 256
_ARROW_FILE = b"ARROW1"


def read_parquet(file: File, options: ReadOptions) -> Iterator[Row]:
    """Yield one record a row; where the text is one column, only that is read."""
    import pyarrow.parquet as pq

    with _table(file, "Parquet") as stream:
        table = pq.ParquetFile(stream)
        columns = _columns(options, table.schema_arrow)
        yield from _rows(file, "Parquet", table.iter_batches(_ROWS, columns=columns), columns)


def read_arrow(file: File, options: ReadOptions) -> Iterator[Row]:
    """Yield one record a row of an Arrow file or stream, such as `datasets` saves."""
    with _table(file, "Arrow") as stream:
        schema, batches = _open_arrow(stream)
        yield from _rows(file, "Arrow", batches, _columns(options, schema))


def count_rows(file: File) -> int:
    """Count the rows of a table from what it says of itself, without reading them."""
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


def _columns(options: ReadOptions, schema: pa.Schema) -> list[str] | None:
    return columns_for(options.fields, schema)


def _rows(
    file: File, kind: str, batches: Iterator[pa.RecordBatch], columns: list[str] | None
) -> Iterator[Row]:
    """Yield the rows of batches, numbered."""
    import pyarrow as pa

    number = 0
    try:
        for batch in batches:
            # Columns are found by prefix: where `a` is read, so is another named `a.b`.
            chosen = batch.select(columns) if columns else batch
            # Offsets beyond a damaged file's own data would be followed into other memory.
            chosen.validate(full=True)
            for start in range(0, chosen.num_rows, _ROWS):
                for row in chosen.slice(start, _ROWS).to_pylist():
                    yield f"{file.name} (row {number})", row
                    number += 1
    except (pa.ArrowException, UnicodeDecodeError, MemoryError) as error:
        raise _damaged(file.name, kind, error, number) from error
    except (ValueError, OverflowError) as error:
        raise unreadable_value(file.name, number, error) from error


@contextmanager
def _table(file: File, kind: str) -> Iterator[BinaryIO]:
    """Open a table for random access, and say what is wrong with its frame."""
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
    found = "it needs more memory than there is" if isinstance(error, MemoryError) else said(error)
    return DataError(
        f"{name}: damaged or not {kind}, at row {number}: {found}. Fetch the file again."
    )


def unreadable_value(name: str, number: int, error: Exception) -> DataError:
    """Return the error for a value of a table that Python cannot hold, such as the year 29349."""
    return DataError(
        f"{name}: a value in the rows from {number} on cannot be read ({error}). "
        "With --text-field, only the column of the text is read."
    )
