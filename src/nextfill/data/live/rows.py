"""Data frames with columns that Parquet has no type for, row by row, every value of its own type.

Such a column seldom is the text; beside it, it must not stop the text from being read. Where it is
the text, the record that holds something else is named when it is read.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from nextfill.data.live.lines import plain

if TYPE_CHECKING:
    import pyarrow as pa

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
    """Return the rows of a data frame of pandas, or None if two columns have one name.

    Args:
        frame: The data frame.

    Returns:
        The rows: where Arrow has a type for a column, with the values as Arrow has them, else as
        they are, without what pandas takes for missing.
    """
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
