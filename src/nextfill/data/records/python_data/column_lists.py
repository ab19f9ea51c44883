"""A dict in the place of data: columns, as `datasets` slices its data sets, or a single record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from nextfill.config import DataConfig
from nextfill.core.errors import ConfigError, nearest
from nextfill.data.records.python_data.dataset_splits import HELD_OUT, TRAIN
from nextfill.data.records.python_data.python_records import is_scalar

_SETTINGS = [item.name for item in fields(DataConfig)]


def rows_of_columns(keyword: str, value: Any) -> Any:
    """Return a dict of columns of one length as its rows, and any other value as it is.

    Args:
        keyword: The setting that holds the value: ``data`` also takes its own settings in a dict.
        value: The value.

    Raises:
        ConfigError: If it is a single record.

    Example:
        >>> rows_of_columns("data", {"text": ["one", "two"], "label": [0, 1]})
        [{'text': 'one', 'label': 0}, {'text': 'two', 'label': 1}]
        >>> rows_of_columns("data", {"source": "notes.txt"})
        {'source': 'notes.txt'}
    """
    if not isinstance(value, Mapping) or not value or value.keys() & {"source", TRAIN, *HELD_OUT}:
        return value
    if keyword == "data" and value.keys() <= {*_SETTINGS}:
        return value
    columns = {name: _column(one) for name, one in value.items()}
    lists = [one for one in columns.values() if one is not None]
    if len(lists) == len(columns) and len({*map(len, lists)}) == 1:
        return [dict(zip(columns, row, strict=True)) for row in zip(*lists, strict=True)]
    if any(map(is_scalar, value.values())) and not (keyword == "data" and _are_settings(value)):
        named = ", ".join(map(str, list(value)[:8]))
        raise ConfigError(
            [f"{keyword}: found a dict of {named}. One record? Pass it in a list: [record]."]
        )
    return value


def _column(value: Any) -> Sequence[Any] | None:
    """Return the values of a column, None for what is none."""
    if hasattr(value, "tolist") and hasattr(value, "__len__"):  # an array or a tensor
        value = value.tolist()
    return value if isinstance(value, list | tuple) else None


def _are_settings(value: Mapping[Any, Any]) -> bool:
    """Tell settings of the data, be one misspelled, from the fields of a record."""
    if value.keys() & {*_SETTINGS}:
        return True
    return "text" not in value and any(nearest(str(name), _SETTINGS) for name in value)
