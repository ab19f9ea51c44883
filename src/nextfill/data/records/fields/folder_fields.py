"""Fields in the names of folders, as Hive and Spark write them: ``lang=en/part-0.parquet``."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import unquote

_NULL = "__HIVE_DEFAULT_PARTITION__"


def folder_fields(name: str, wanted: Collection[str]) -> dict[str, str | None]:
    """Return the wanted fields that a file's folders are named by; of two, the inner one's.

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


def names_of_folder_fields(name: str) -> list[str]:
    """Return the names of the fields that a file's folders are named by.

    Example:
        >>> names_of_folder_fields("rows/lang=en/year=2026/part-0.parquet")
        ['lang', 'year']
    """
    parted = (one.partition("=") for one in name.replace("\\", "/").split("/")[:-1])
    return list(dict.fromkeys(unquote(field) for field, mark, _ in parted if mark and field))


class RecordInFolder(dict[str, Any]):
    """A record whose folders' fields are found by their names and are none of its own fields.

    So they are never taken for its text, and a field of its own comes first.
    """

    def __init__(self, record: Mapping[str, Any], fields: Mapping[str, Any]) -> None:
        super().__init__(record)
        self._fields = fields

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or name in self._fields

    def with_folders(self) -> dict[str, Any]:
        """Return the record with the fields of its folders as further ones."""
        return {**self, **{name: one for name, one in self._fields.items() if name not in {*self}}}

    def __missing__(self, name: str) -> Any:
        return self._fields[name]


class TextInFolder(str):
    """A record of plain text, with the fields that its folders are named by.

    Args:
        text: The text.
        fields: The value of each field; None for one without a value.
    """

    __slots__ = ("fields",)
    fields: Mapping[str, Any]

    def __new__(cls, text: str, fields: Mapping[str, Any]) -> TextInFolder:
        """Return the text with its fields."""
        made = super().__new__(cls, text)
        made.fields = fields
        return made


def with_fields(
    value: Mapping[str, Any] | str, fields: Mapping[str, Any]
) -> RecordInFolder | TextInFolder:
    """Return a record in which the fields of its folders are found."""
    return TextInFolder(value, fields) if isinstance(value, str) else RecordInFolder(value, fields)


def fields_beside(value: Any) -> Any:
    """Return a record in which fields beside the text are looked for: of plain text, its folders.

    Example:
        >>> fields_beside(with_fields("Some words.", {"lang": "en"})), fields_beside({"a": "b"})
        ({'lang': 'en'}, {'a': 'b'})
    """
    return value.fields if isinstance(value, TextInFolder) else value
