"""From records to documents: a path through nested records finds the text.

A path is names joined with dots, as in ``answers.text``. ``[]`` after a name says "each element";
it may be left out, since a list met on the way is always gone through. A key that itself holds
dots is found before the path is taken apart.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from nextfill.core.errors import DataError, nearest
from nextfill.data.document import Document, ReadCounts, Record, Source
from nextfill.data.records.column_json import AS_ROWS, UNCLEAR
from nextfill.data.records.text_field import choose, elements, heads, some, string_paths

_KINDS = {bool: "true or false", int: "a number", float: "a number", bytes: "bytes"}


class _Missing:
    """Stands for a field that a record does not have."""


_MISSING: Final = _Missing()


def documents(
    source: Source,
    *,
    text_field: str | None,
    join: str,
    explode: bool,
    keep: Sequence[str],
    counts: ReadCounts,
) -> Iterator[Document]:
    """Yield the documents of a source, counting every record that gives none.

    A record is skipped as ``null``, ``empty list`` or ``missing`` (where an earlier record had
    the field). Nulls and missing fields within a list are dropped and counted by value; the
    record still gives a document.
    """
    path: str | None = None
    had_it = False
    for record in source.read():
        counts.records += 1
        if path is None:
            path = choose(record, text_field or source.default_text_field)
            counts.text_field = path or None
            _check_columns(record, keep)
        values = list(_reach(_value(record, path), path))
        if values and all(value is _MISSING for value in values):
            if not had_it:
                raise _no_field(record, path, "--text-field")
            counts.skip("missing")
            continue
        had_it = had_it or bool(values)
        texts = _texts(record, path, values, counts)
        if not texts:
            continue
        counts.with_text += 1
        columns = {column: _column(record, column) for column in keep}
        for text in texts if explode else [join.join(texts)]:
            counts.documents += 1
            counts.empty += not text.strip()
            yield Document(text, record.number, columns)
    counts.tables = dict(Counter(source.tables.values()))


def _value(record: Record, path: str) -> Any:
    """Return the record's value, which is plain text exactly if the first record's was."""
    if isinstance(record.value, str) != (not path):
        found, expected = ("a string", "an object") if path else ("an object", "a string")
        raise DataError(
            f"{record.where}: found {found} where the records before were {expected}s; "
            "all records must be alike."
        )
    return record.value


def _reach(value: Any, path: str) -> Iterator[Any]:
    """Yield what a path reaches: none for an empty list, `_MISSING` where it leads nowhere."""
    if isinstance(value, list):
        for inner in elements(value):
            yield from _reach(inner, path)
    elif not path or value is None:
        yield value
    elif not isinstance(value, Mapping):
        yield _MISSING
    elif path in value:
        yield from _reach(value[path], "")
    else:
        # The longest key wins, so that a key that holds dots is found whole.
        for name, rest in heads(path):
            if name in value:
                yield from _reach(value[name], rest)
                return
        yield _MISSING


def _texts(record: Record, path: str, values: list[Any], counts: ReadCounts) -> list[str]:
    """Return the texts among what was found; count what is dropped."""
    texts: list[str] = []
    for value in values:
        if isinstance(value, str):
            _check_unicode(record, value)
            texts.append(value)
        elif value is not None and value is not _MISSING:
            raise _not_text(record, path, value)
    if not texts:
        counts.skip("null" if values else "empty list")
        return texts
    for reason, dropped in (("null in list", None), ("missing in list", _MISSING)):
        if number := sum(value is dropped for value in values):
            counts.values[reason] = counts.values.get(reason, 0) + number
    return texts


def _check_unicode(record: Record, text: str) -> None:
    r"""Refuse halves of surrogate pairs, which JSON can spell as \ud83d but no file can hold."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        found = f"\\u{ord(text[error.start]):04x}"
        raise DataError(
            f"{record.where}: the text holds {found}, half of a surrogate pair, which is not a "
            "character. Write the text again with whole characters."
        ) from error


def _check_columns(record: Record, keep: Sequence[str]) -> None:
    """Check that the first record has the columns to be kept."""
    for column in keep:
        reached = list(_reach(record.value, column))
        if reached and all(value is _MISSING for value in reached):
            raise _no_field(record, column, "a column to keep")


def _column(record: Record, column: str) -> str:
    """Return a column as text: a list joined with commas, null or missing as an empty string."""
    cells: list[str] = []
    for value in _reach(record.value, column):
        if isinstance(value, Mapping):
            raise DataError(
                f"{record.where}: the column {column!r} holds an object; expected text or a "
                f"number. Name a field in it: {some(string_paths(value, column))}"
            )
        if value is not None and value is not _MISSING:
            cells.append(json.dumps(value) if isinstance(value, bool) else str(value))
    return ", ".join(cells)


def _no_field(record: Record, path: str, role: str) -> DataError:
    """Return the error for a path that leads nowhere."""
    paths = string_paths(record.value)
    held = f"The fields with text: {some(paths)}." if paths else "It has no field with text."
    return DataError(
        f"{record.where}: found no field {path!r} ({role}). {held}{nearest(path, paths)}"
    )


def _not_text(record: Record, path: str, value: Any) -> DataError:
    """Return the error for a field that holds something else than text."""
    inner = string_paths(value, path)
    found = "an object" if isinstance(value, Mapping) else _KINDS.get(type(value), "")
    found = found or f"a value of type {type(value).__name__}"
    hint = f" Type --text-field {inner[0]}" if inner else ""
    if len(inner) > 1:  # which may be the rows of a column, and one of them is not the text
        hint = f" In it is text at {some(inner)}."
        hint += AS_ROWS if record.where.endswith(UNCLEAR) else " Name one with --text-field."
    if not hint:
        others = string_paths(record.value)
        hint = f" The fields with text: {some(others)}." if others else ""
    return DataError(f"{record.where}: the field {path!r} holds {found}; expected text.{hint}")
