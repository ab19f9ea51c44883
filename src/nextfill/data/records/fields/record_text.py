"""From records to documents: the text at a path through nested records.

A path is names joined with dots, as in ``answers.text``. ``[]`` after a name says "each element";
it may be left out, since a list on the way is always gone through. A key that itself contains dots
is found before the path is taken apart.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from nextfill.core.errors import DataError
from nextfill.data.document import NO_COLUMNS, Document, ReadCounts, Record, Source
from nextfill.data.records.fields.field_choice import COMPLETION, PROMPT, check_alone, chosen_fields
from nextfill.data.records.fields.field_errors import (
    CONTEXT_FLAG,
    MOST_SEEN,
    TEXT_FLAG,
    NoFieldError,
    half_character,
    no_field,
    not_text,
)
from nextfill.data.records.fields.field_hints import ObjectsAsText
from nextfill.data.records.fields.field_paths import (
    flattened,
    leading_keys,
    path_list,
    string_paths,
)
from nextfill.data.records.fields.folder_fields import fields_beside
from nextfill.data.records.records_ahead import Ahead


class _Missing:
    """The value of a field that a record does not have."""


_MISSING: Final = _Missing()
_STRINGS: Final = frozenset([str])


def documents(
    source: Source,
    *,
    text_field: str | None,
    join: str,
    explode: bool,
    keep: Sequence[str],
    counts: ReadCounts,
    context_field: str | None = None,
    found: tuple[str | None, str | None] | None = None,
    each_has_it: bool = False,
) -> Iterator[Document]:
    """Yield the documents of a source, counting every record that gives none.

    Where the source goes on from another reading, the paths of text and context that were
    ``found`` there are its own, the first None for plain text, and its records have the fields.

    A record is skipped as ``null``, ``empty list`` or ``missing`` (where another record has the
    field: one before it or, of the first records, one of the next; with ``each_has_it`` the first
    has to have it). Nulls and missing fields within a list are dropped and counted by value; the
    record still gives a document. So it is with a context, but for an empty one, after which all is
    learnt; a record without anything to learn after its context is skipped, too.
    """
    text: _Field | None = None
    context: _Field | None = None
    objects = ObjectsAsText(source)
    begun = found is not None
    records = Ahead(source.read() if begun else _with_columns(source, keep))
    for record in records:
        counts.records += 1
        if text is None:
            if found is None:
                named = text_field or source.default_text_field
                paths = chosen_fields(record, named, context_field, records, pairs=not explode)
            else:
                paths = found[0] or "", found[1]
            counts.text_field, counts.context_field = paths[0] or None, paths[1]
            text = _Field(paths[0], TEXT_FLAG, had_it=begun, first_has_it=each_has_it)
            if paths[1] is not None:
                context = _Field(paths[1], CONTEXT_FLAG, "context ", had_it=begun)
        if text_field is None and context is None and text.path in (PROMPT, COMPLETION):
            check_alone(record, text.path)
        texts, before = text.texts(record, counts, records), ""
        if texts and context is not None:
            contexts = _contexts(record, context, texts, counts, records)
            texts, before = (texts if contexts else []), join.join(contexts)
        if not texts:
            continue
        counts.with_text += 1
        objects.look_at(text.path, texts[0])
        columns = {column: _column(record, column) for column in keep} if keep else NO_COLUMNS
        characters = None if context is None else len(before)
        for one in texts if explode else [join.join(texts)]:
            counts.documents += 1
            counts.empty += not one.strip()
            yield Document(before + one, record.number, columns, characters)
    if text is not None:
        objects.tell(text.path)
    counts.tables = dict(Counter(source.tables.values()))
    counts.beside_text = dict(sum(map(Counter, source.beside_text.values()), Counter()))


def _contexts(
    record: Record,
    context: _Field,
    texts: Sequence[str],
    counts: ReadCounts,
    others: Ahead,
) -> list[str]:
    """Return the texts of a record's context, none, and counted, if there is nothing to learn.

    Nothing joins context and text: what stands between them is what the record has there.
    """
    if not any(text.strip() for text in texts):
        counts.skip("empty completion")
        return []
    return context.texts(record, counts, others)


@dataclass
class _Field:
    """A field of the records of one reading.

    Args:
        path: Its path; empty where records are the text.
        flag: The flag that names it.
        prefix: What stands before the reasons for which its records are counted.
        had_it: Whether a record before or near is known to have it.
        first_has_it: Whether the first record has to.
    """

    path: str
    flag: str
    prefix: str = ""
    had_it: bool = False
    first_has_it: bool = False

    def texts(self, record: Record, counts: ReadCounts, others: Ahead) -> list[str]:
        """Return the texts of a record, counting it if there are none."""
        values = _reach(_value(record, self.path), self.path)
        if values and values[0] is _MISSING and all(value is _MISSING for value in values):
            if not self.had_it and (self.first_has_it or not self._is_in(others)):
                raise DataError(no_field(record, self.path, self.flag, others))
            self.had_it = True
            counts.skip(f"{self.prefix}missing")
            return []
        self.had_it = self.had_it or bool(values)
        if not values and self.flag == CONTEXT_FLAG:  # a dialogue that has not begun
            return [""]
        return self._among(record, values, counts)

    def _check_characters(self, record: Record, text: str) -> None:
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            subject = f"{record.where}: the {self.prefix or 'text'}".rstrip()
            raise half_character(subject, error) from error

    def _is_in(self, others: Ahead) -> bool:
        """Return whether one of the next records has the field."""
        return any(
            value is not None and value is not _MISSING
            for record in others.peek(MOST_SEEN - 1)
            if not isinstance(record.value, str)
            for value in _reach(record.value, self.path)
        )

    def _among(self, record: Record, values: list[Any], counts: ReadCounts) -> list[str]:
        """Return the texts among values, and count the others."""
        if values and _STRINGS.issuperset(map(type, values)):  # as nearly always
            for value in values:
                if not value.isascii():
                    self._check_characters(record, value)
            return values
        texts: list[str] = []
        for value in values:
            if isinstance(value, str):
                if not value.isascii():
                    self._check_characters(record, value)
                texts.append(value)
            elif value is not None and value is not _MISSING:
                raise not_text(record, self.path, value, self.flag)
        if not texts:
            counts.skip(self.prefix + ("null" if values else "empty list"))
            return texts
        if len(texts) == len(values):
            return texts
        for reason, dropped in (("null in list", None), ("missing in list", _MISSING)):
            if number := sum(value is dropped for value in values):
                name = self.prefix + reason
                counts.values[name] = counts.values.get(name, 0) + number
        return texts


def _value(record: Record, path: str) -> Any:
    """Return a record's value, which is plain text exactly if the first record's was."""
    if isinstance(record.value, str) != (not path):
        found, expected = ("a string", "objects") if path else ("an object", "strings")
        raise DataError(
            f"{record.where}: found {found} where the records before were {expected}; "
            "all records must be alike. Name the files of one kind: of a folder, with a pattern, "
            "for example --data 'notes/*.txt'"
        )
    return record.value


def _reach(value: Any, path: str) -> list[Any]:
    """Return the values at a path: none for an empty list, `_MISSING` where it leads nowhere."""
    reached: list[Any] = []
    _collect(value, path, reached)
    return reached


def _collect(value: Any, path: str, reached: list[Any]) -> None:
    while path and type(value) is dict:  # as nearly always, without a call for each
        for name, rest in leading_keys(path):
            if name in value:
                value, path = value[name], rest
                break
        else:
            reached.append(_MISSING)
            return
    if not path and type(value) is list and _STRINGS.issuperset(map(type, value)):
        reached += value
    elif isinstance(value, list):
        for inner in flattened(value):
            _collect(inner, path, reached)
    elif not path or value is None:
        reached.append(value)
    elif not isinstance(value, Mapping):
        reached.append(_MISSING)
    else:
        # The longest key wins, so that a key that holds dots is found whole.
        for name, rest in leading_keys(path):
            if name in value:
                _collect(value[name], rest, reached)
                return
        reached.append(_MISSING)


def _with_columns(source: Source, keep: Sequence[str]) -> Iterator[Record]:
    """Yield the records of a source, the first of which have each field to keep, or may lack it."""
    records = source.read()
    first, missing = _first_records(records, [one for one in keep if one not in source.lacks])
    for column in missing:
        message = no_field(first[0], column, "--by, or keep_fields", first[1:])
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
        first += islice(records, MOST_SEEN - 1)
    missing = [one for one in keep if all(_is_missing(record, one) for record in first)]
    return first, missing if first else []


def _is_missing(record: Record, column: str) -> bool:
    reached = _reach(fields_beside(record.value), column)
    return bool(reached) and all(value is _MISSING for value in reached)


def _column(record: Record, column: str) -> str:
    """Return a column as text: a list joined with commas, null or missing as an empty string."""
    cells: list[str] = []
    for value in _reach(fields_beside(record.value), column):
        if isinstance(value, Mapping):
            raise DataError(
                f"{record.where}: the column {column!r} holds an object; expected text or a "
                f"number. Name a field in it: {path_list(string_paths(value, column))}"
            )
        if value is not None and value is not _MISSING:
            cells.append(json.dumps(value) if isinstance(value, bool) else str(value))
    return ", ".join(cells)
