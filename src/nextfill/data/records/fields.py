"""From records to documents: the text at a path through nested records.

A path is names joined with dots, as in ``answers.text``. ``[]`` after a name says "each element";
it may be left out, since a list on the way is always gone through. A key that itself contains dots
is found before the path is taken apart.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any, Final

from nextfill.core.errors import DataError
from nextfill.data.document import Document, ReadCounts, Record, Source
from nextfill.data.records.field_hints import ObjectsAsText, nearest_path, object_as_text
from nextfill.data.records.field_paths import (
    display_path,
    flattened,
    leading_keys,
    longest_first,
    path_list,
    string_paths,
    text_length,
)
from nextfill.data.records.tokenized import tokens_in, tokens_message

UNCLEAR = ", the only record"
"""Ends the place of a record that may be a table, for messages."""

_AS_ROWS = (
    " If it is a table, write it as rows, with pandas by frame.to_json(FILE, orient='records', "
    "lines=True); else name the text with --text-field."
)
_MOST_SEEN = 100
"""Records in which a field is looked for that the first one does not have."""

_KINDS = {bool: "true or false", int: "a number", float: "a number", bytes: "bytes"}


class NoFieldError(DataError):
    """No field of a source is at the path of a field to keep, named ``path``."""

    def __init__(self, message: str, path: str) -> None:
        super().__init__(message)
        self.path = path


class _Missing:
    """The value of a field that a record does not have."""


_MISSING: Final = _Missing()


def documents(
    source: Source,
    *,
    text_field: str | None,
    join: str,
    explode: bool,
    keep: Sequence[str],
    counts: ReadCounts,
    begun: bool = False,
) -> Iterator[Document]:
    """Yield the documents of a source, counting every record that gives none.

    With ``begun`` the source goes on where another reading stopped: ``text_field`` is the path that
    was found there, None for plain text, and its records have the field.

    A record is skipped as ``null``, ``empty list`` or ``missing`` (where an earlier record had
    the field). Nulls and missing fields within a list are dropped and counted by value; the
    record still gives a document.
    """
    path: str | None = (text_field or "") if begun else None
    counts.text_field = path or None
    had_it = begun
    objects = ObjectsAsText(source)
    records = source.read() if begun else _with_columns(source, keep)
    for record in records:
        counts.records += 1
        if path is None:
            path = text_path(record, text_field or source.default_text_field, records)
            counts.text_field = path or None
        values = list(_reach(_value(record, path), path))
        if values and all(value is _MISSING for value in values):
            if not had_it:
                raise DataError(_no_field(record, path, "--text-field", records))
            counts.skip("missing")
            continue
        had_it = had_it or bool(values)
        texts = _texts(record, path, values, counts)
        if not texts:
            continue
        counts.with_text += 1
        objects.look_at(path, texts[0])
        columns = {column: _column(record, column) for column in keep}
        for text in texts if explode else [join.join(texts)]:
            counts.documents += 1
            counts.empty += not text.strip()
            yield Document(text, record.number, columns)
    objects.tell(path)
    counts.tables = dict(Counter(source.tables.values()))
    counts.beside_text = dict(sum(map(Counter, source.beside_text.values()), Counter()))


def _value(record: Record, path: str) -> Any:
    """Return a record's value, which is plain text exactly if the first record's was."""
    if isinstance(record.value, str) != (not path):
        found, expected = ("a string", "objects") if path else ("an object", "strings")
        raise DataError(
            f"{record.where}: found {found} where the records before were {expected}; "
            "all records must be alike."
        )
    return record.value


def _reach(value: Any, path: str) -> Iterator[Any]:
    """Yield the values at a path: none for an empty list, `_MISSING` where it leads nowhere."""
    if isinstance(value, list):
        for inner in flattened(value):
            yield from _reach(inner, path)
    elif not path or value is None:
        yield value
    elif not isinstance(value, Mapping):
        yield _MISSING
    elif path in value:
        yield from _reach(value[path], "")
    else:
        # The longest key wins, so that a key that holds dots is found whole.
        for name, rest in leading_keys(path):
            if name in value:
                yield from _reach(value[name], rest)
                return
        yield _MISSING


def _texts(record: Record, path: str, values: list[Any], counts: ReadCounts) -> list[str]:
    """Return the texts among the values at a path, and count the others."""
    texts: list[str] = []
    for value in values:
        if isinstance(value, str):
            try:
                value.encode("utf-8")
            except UnicodeEncodeError as error:
                raise half_character(f"{record.where}: the text", error) from error
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


def half_character(subject: str, error: UnicodeEncodeError) -> DataError:
    r"""Return the error for half of a surrogate pair, such as \ud83d, which no file can hold."""
    return DataError(
        f"{subject} holds \\u{ord(error.object[error.start]):04x}, half of a surrogate pair, which "
        "is not a character. Write the text again with whole characters."
    )


def _with_columns(source: Source, keep: Sequence[str]) -> Iterator[Record]:
    """Yield the records of a source, the first of which have each field to keep, or may lack it."""
    records = source.read()
    first, missing = _first_records(records, [one for one in keep if one not in source.lacks])
    for column in missing:
        message = _no_field(first[0], column, "--by, or keep_fields", first[1:])
        raise NoFieldError(message, column)
    yield from first
    yield from records


def missing_fields(source: Source, keep: Sequence[str]) -> list[str]:
    """Return the fields to keep that none of a source's first records has."""
    return _first_records(source.read(), keep)[1]


def _first_records(
    records: Iterator[Record], keep: Sequence[str]
) -> tuple[list[Record], list[str]]:
    """Return the first records, as many as it takes to know, and the fields that none has."""
    first = list(islice(records, 1))
    if first and any(_is_missing(first[0], column) for column in keep):
        first += islice(records, _MOST_SEEN - 1)
    missing = [one for one in keep if all(_is_missing(record, one) for record in first)]
    return first, missing if first else []


def _is_missing(record: Record, column: str) -> bool:
    reached = list(_reach(record.value, column))
    return bool(reached) and all(value is _MISSING for value in reached)


def _column(record: Record, column: str) -> str:
    """Return a column as text: a list joined with commas, null or missing as an empty string."""
    cells: list[str] = []
    for value in _reach(record.value, column):
        if isinstance(value, Mapping):
            raise DataError(
                f"{record.where}: the column {column!r} holds an object; expected text or a "
                f"number. Name a field in it: {path_list(string_paths(value, column))}"
            )
        if value is not None and value is not _MISSING:
            cells.append(json.dumps(value) if isinstance(value, bool) else str(value))
    return ", ".join(cells)


def _no_field(record: Record, path: str, role: str, others: Iterable[Record]) -> str:
    """Return the message for a path that leads nowhere, in a first record and the next ones."""
    lengths = _text_lengths(record, others)
    paths = list(lengths)
    held = f"The fields with text: {path_list(paths)}." if paths else "It has no field with text."
    hint = object_as_text(record.value, path) or nearest_path(path, lengths)
    return f"{record.where}: found no field {path!r} ({role}). {held}{hint}"


def _text_lengths(record: Record, others: Iterable[Record]) -> dict[str, int]:
    """Return the characters of text at each path of a first record and of the next ones."""
    seen = [record]
    with suppress(DataError):  # the message is about the first
        seen += islice(others, _MOST_SEEN - 1)
    lengths: dict[str, int] = {}
    for value in (one.value for one in seen if not isinstance(one.value, str)):
        for path in string_paths(value):
            lengths[path] = lengths.get(path, 0) + text_length(value, path)
    return lengths


def _not_text(record: Record, path: str, value: Any) -> DataError:
    """Return the error for a field that holds something else than text."""
    inner = longest_first(record.value, string_paths(value, path))
    found = "an object" if isinstance(value, Mapping) else _KINDS.get(type(value), "")
    found = found or f"a value of type {type(value).__name__}"
    hint = f" Type --text-field {inner[0]}" if inner else ""
    if len(inner) > 1:  # which may be the rows of a column, and one of them is not the text
        hint = f" In it is text at {path_list(inner)}."
        example = f" Name it, for example --text-field {display_path(inner[0])}"
        hint += _AS_ROWS if record.where.endswith(UNCLEAR) else example
    if not hint:
        others = string_paths(record.value)
        hint = f" The fields with text: {path_list(others)}." if others else ""
    return DataError(f"{record.where}: the field {path!r} holds {found}; expected text.{hint}")


def text_path(record: Record, field: str | None, others: Iterable[Record] = ()) -> str:
    """Return the path of the text in a first record; it is empty if the record is the text.

    Of the ``others`` after it the first are read for a message where none can be told.
    """
    if isinstance(record.value, str):
        if field:
            raise DataError(
                f"{record.where}: the records are plain text, so there is no field {field!r}. "
                "Leave --text-field out."
            )
        return ""
    tokens = tokens_in(record.value)
    # A column without a name, as the row names of R and pandas in CSV, is never meant.
    texts = [path for path in string_paths(record.value) if path and path not in tokens]
    if tokens and (field in tokens or not texts):
        raise DataError(tokens_message(record.where, tokens, texts))
    if field:
        if not all(name.removesuffix("[]") for name in field.split(".")):
            raise DataError(
                f"--text-field {field!r} has an empty name. "
                "Expected names joined with single dots, such as answers.text or data[].text."
            )
        return field
    if "text" in record.value:
        return "text"
    # A field that is null here may hold text further on.
    nulls = [path for path in string_paths(record.value, kind=type(None)) if path not in texts]
    if len(texts) == 1 and not nulls:
        return texts[0]
    raise _unclear_field(record, texts, nulls, _text_lengths(record, others))


def _unclear_field(
    record: Record, paths: Sequence[str], nulls: Sequence[str], lengths: Mapping[str, int]
) -> DataError:
    """Return the error for a first record with several fields that may be the text, or none."""
    # The one with the most text is most likely meant, and an id is not.
    ordered = sorted([*paths, *nulls], key=lambda path: -lengths.get(path, 0))
    names = [display_path(path) for path in ordered]
    hint = f" Name the text, for example --text-field {names[0]}" if names else ""
    if len(paths) == 1:
        others = f"{path_list(nulls)} {'hold' if len(nulls) > 1 else 'holds'} null"
        found = f"{display_path(paths[0])} holds text and {others}, and may hold text later on."
        return DataError(f"{record.where}: {found}{hint}")
    found = f"{len(paths)} fields with text: {path_list(paths)}" if paths else "no field with text"
    found += f" (null here: {path_list(nulls)})" if nulls else ""
    hint = _AS_ROWS if record.where.endswith(UNCLEAR) else hint
    return DataError(f"{record.where}: found {found}; expected one, or one named 'text'.{hint}")
