"""The types by which Parquet holds columns: no views, no dictionaries of them, no runs."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

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
