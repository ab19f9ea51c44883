"""Fields in the names of folders, as Hive and Spark write them: ``lang=en/part-0.parquet``."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import unquote

_NULL = "__HIVE_DEFAULT_PARTITION__"


def folder_fields(name: str, wanted: Collection[str]) -> dict[str, str | None]:
    """Return the wanted fields that a file's folders are named by; of two, the inner one's.

    Only what is asked for: a field more in every record could be taken for the text.

    Example:
        >>> folder_fields("rows/lang=en/year=2026/part-0.parquet", ["lang", "size"])
        {'lang': 'en'}
    """
    found: dict[str, str | None] = {}
    for folder in name.replace("\\", "/").split("/")[:-1]:
        field, mark, value = folder.partition("=")
        if mark and unquote(field) in wanted:
            found[unquote(field)] = None if value == _NULL else unquote(value)
    return found


def with_fields(value: Mapping[str, Any] | str, fields: Mapping[str, Any]) -> Any:
    """Return a record with the fields of its folders, where it has none of these names itself."""
    return value if isinstance(value, str) else {**fields, **value}
