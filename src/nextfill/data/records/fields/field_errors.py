"""Errors about the fields of records: what was found, what was expected, and what to type."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any

from nextfill.core.errors import DataError
from nextfill.data.document import Record
from nextfill.data.records.fields.field_hints import nearest_path, object_as_text
from nextfill.data.records.fields.field_paths import (
    display_path,
    longest_first,
    path_list,
    string_paths,
    text_length,
)
from nextfill.data.records.fields.folder_fields import names_of_folder_fields

TEXT_FLAG = "--text-field"
CONTEXT_FLAG = "--context-field"

UNCLEAR = ", the only record"
"""Ends the place of a record that may be a table, for messages."""

_AS_ROWS = (
    " If it is a table, write it as rows, with pandas by frame.to_json(FILE, orient='records', "
    "lines=True); else name the text with --text-field."
)
MOST_SEEN = 100
"""Records in which a field is looked for that the first one does not have."""

_KINDS = {bool: "true or false", int: "a number", float: "a number", bytes: "bytes"}


class NoFieldError(DataError):
    """No field of a source is at the path of a field to keep, named ``path``."""

    def __init__(self, message: str, path: str) -> None:
        super().__init__(message)
        self.path = path


def half_character(subject: str, error: UnicodeEncodeError) -> DataError:
    r"""Return the error for half of a surrogate pair, such as \ud83d, which no file can hold."""
    return DataError(
        f"{subject} holds \\u{ord(error.object[error.start]):04x}, half of a surrogate pair, which "
        "is not a character. Write the text again with whole characters."
    )


def no_field(record: Record, path: str, role: str, others: Iterable[Record]) -> str:
    """Return the message for a path that leads nowhere, in a first record and the next ones."""
    lengths = text_lengths(record, others)
    paths = list(lengths)
    held = f"The fields with text: {path_list(paths)}." if paths else "It has no field with text."
    held = "It is plain text." if isinstance(record.value, str) else held
    if role.startswith("--by"):  # names of folders are never taken for text
        folders = names_of_folder_fields(record.where)
        lengths |= dict.fromkeys(folders, 0)
        held += f" Those in the names of folders: {path_list(folders)}." if folders else ""
    hint = object_as_text(record.value, path)
    if not hint and path in lengths:  # for which another record has to be one with the field
        held += f" Others after it have {path!r}."
    else:
        hint = hint or nearest_path(path, lengths)
    return f"{record.where}: found no field {path!r} ({role}). {held}{hint}"


def text_lengths(record: Record, others: Iterable[Record]) -> dict[str, int]:
    """Return the characters of text at each path of a first record and of the next ones."""
    seen = [record]
    with suppress(DataError):  # the message is about the first
        seen += islice(others, MOST_SEEN - 1)
    lengths: dict[str, int] = {}
    for value in (one.value for one in seen if not isinstance(one.value, str)):
        for path in string_paths(value):
            lengths[path] = lengths.get(path, 0) + text_length(value, path)
    return lengths


def not_text(record: Record, path: str, value: Any, flag: str = TEXT_FLAG) -> DataError:
    """Return the error for a field that holds something else than text."""
    inner = longest_first(record.value, string_paths(value, path))
    found = "an object" if isinstance(value, Mapping) else _KINDS.get(type(value), "")
    found = found or f"a value of type {type(value).__name__}"
    hint = f" Type {flag} {inner[0]}" if inner else ""
    if len(inner) > 1:  # which may be the rows of a column, and one of them is not the text
        hint = f" In it is text at {path_list(inner)}."
        example = f" Name it, for example {flag} {display_path(inner[0])}"
        hint += _AS_ROWS if record.where.endswith(UNCLEAR) else example
    if not hint:
        others = string_paths(record.value)
        rest = f"The fields with text: {path_list(others)}" if others else "No other field has text"
        hint = f" {rest}. Write it as text, or name another field with {flag}."
    return DataError(f"{record.where}: the field {path!r} holds {found}; expected text.{hint}")


_DIALOGUES = (("role", "content"), ("from", "value"))
"""Fields of each message of a dialogue: who speaks, and the words."""


def _dialogue_in(paths: Sequence[str]) -> str:
    """Return the message about a list of messages among the fields with text, or ""."""
    for who, words in _DIALOGUES:
        for path in paths:
            name, mark, end = path.rpartition("[].")
            if mark and end == words and f"{name}[].{who}" in paths:
                return (
                    f"{name!r} is a dialogue, whose messages have {who} and {words}, and dialogues "
                    "are not read as such. Write each as a prompt and a completion. To learn "
                    "all of its words as one text, without who speaks, type: --text-field "
                    f"{shlex.quote(display_path(path))}"
                )
    return ""


def unclear_field(
    record: Record, paths: Sequence[str], nulls: Sequence[str], lengths: Mapping[str, int]
) -> DataError:
    """Return the error for a first record with several fields that may be the text, or none."""
    # The one with the most text is most likely meant, and an id is not.
    ordered = sorted([*paths, *nulls], key=lambda path: -lengths.get(path, 0))
    if dialogue := _dialogue_in(paths):
        return DataError(f"{record.where}: {dialogue}")
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
