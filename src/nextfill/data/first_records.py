"""The first records of data, for a look at them: read no further than they need.

Nothing is kept: data of a Python program and standard input go into a folder that is removed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

from nextfill.config import DataConfig
from nextfill.core.errors import DataError
from nextfill.data.document import Record, Source
from nextfill.data.records.fields.field_choice import chosen_fields
from nextfill.data.records.fields.field_paths import display_path, string_paths, text_length
from nextfill.data.records.fields.folder_fields import RecordInFolder, TextInFolder
from nextfill.data.records.python_data.data_frames import is_lazy
from nextfill.data.records.python_data.python_records import check_kind, plain_or_text
from nextfill.data.records.records_ahead import Ahead

MOST_RECORDS = 1000
"""Records after which a look ends."""

MOST_CHARACTERS = 1 << 20
"""Characters of records after which it ends, too."""

MOST_BYTES = 1 << 24
"""Bytes of standard input that it reads."""

_PLACE = re.compile(r"(?P<file>.*?)(:\d+)?( \([^()]*\))?(, the only record)?", re.DOTALL)


@dataclass
class FirstRecords:
    """The records that a look has seen of a source.

    Args:
        kept: The first of them.
        number: Their number.
        is_whole: Whether there are no others.
        by_file: Their number by the file's name.
        fault: The error that ended their reading after the first.
    """

    kept: list[Record] = field(default_factory=list)
    number: int = 0
    is_whole: bool = False
    by_file: dict[str, int] = field(default_factory=dict)
    fault: DataError | None = None

    def count(self, record: Record, source: Source) -> None:
        """Count a record that is read."""
        self.number += 1
        name = _file_of(record, source)
        self.by_file[name] = self.by_file.get(name, 0) + 1


def first_of(source: Source, keep: int) -> tuple[Source, FirstRecords]:
    """Return a source of the first records alone, and what was seen of them, as it is read.

    So many as are to be kept are read at once, whatever becomes of them.
    """
    seen = FirstRecords()
    try:
        for record in islice(source.read(), keep):
            seen.kept.append(record)
            seen.count(record, source)
    except DataError as error:
        if not seen.kept:
            raise
        seen.fault = error

    def read() -> Iterator[Record]:
        characters = seen.number = 0
        seen.by_file.clear()
        for record in source.read():
            if seen.number >= max(MOST_RECORDS, keep) or characters >= MOST_CHARACTERS:
                return
            characters += len(str(record.value))
            seen.count(record, source)
            yield record
        seen.is_whole = True

    return replace(source, read=read), seen


def _file_of(record: Record, source: Source) -> str:
    """Return the name of the file that a record came from, or an empty string."""
    match = _PLACE.fullmatch(record.where)
    name = match["file"] if match else ""
    return name if name in source.files else ""


def beginning_of(value: Any, keyword: str) -> Any:
    """Return the beginning of live data, long enough to see that there is more.

    Example:
        >>> beginning_of(range(10**9), "data")[-1], beginning_of(["one"], "data")
        (1000, ['one'])
    """
    check_kind(keyword, value)
    most = MOST_RECORDS + 1
    if hasattr(value, "select") and hasattr(value, "features"):  # of `datasets`
        return value.select(range(min(most, len(value))))
    if is_lazy(value) or any(hasattr(value, name) for name in ("__arrow_c_stream__", "iloc")):
        for way in ("head", "slice"):
            if hasattr(value, way):
                return value.head(most) if way == "head" else value.slice(0, most)
        return value
    if hasattr(value, "slice") and hasattr(value, "schema"):  # a batch of PyArrow's
        return value.slice(0, most)
    items = value if hasattr(value, "__iter__") else (value[n] for n in range(len(value)))
    return list(islice(items, most))


@dataclass(frozen=True)
class TextField:
    """A field with text in the first records.

    Args:
        path: Its path, as ``text_field`` takes it.
        characters: Characters of its text in the records that are shown.
        is_taken: Whether it is the one that is read.
        is_context: Whether it is the context before that.
    """

    path: str
    characters: int
    is_taken: bool
    is_context: bool = False

    @property
    def use(self) -> str:
        """What becomes of it, in a word; empty where it is not read."""
        return "taken" if self.is_taken else "context" if self.is_context else ""


def fields_of(
    records: Sequence[Record], taken: str | None, context: str | None = None
) -> list[TextField]:
    """Return the fields with text in records, the one that is taken first, then by their length."""
    values = [record.value for record in records if not isinstance(record.value, str)]
    lengths: dict[str, int] = {}
    for value in values:
        for path in filter(None, string_paths(value)):
            lengths[path] = lengths.get(path, 0) + text_length(value, path)
    text, before = (None if one is None else one.replace("[]", "") for one in (taken, context))
    plain = {path: path.replace("[]", "") for path in lengths}
    found = [
        TextField(display_path(path), length, plain[path] == text, plain[path] == before)
        for path, length in lengths.items()
    ]
    return sorted(found, key=lambda one: (not one.is_taken, -one.characters))


def choice_of_field(source: Source, data: DataConfig, records: Sequence[Record]) -> str:
    """Return the reason, in words, for the field that is read; or why there is none."""
    first = records[0]
    named = data.text_field or source.default_text_field
    next_ones = Ahead(iter(records[1:]))
    try:
        path, context = chosen_fields(
            first, named, data.context_field, next_ones, pairs=not data.explode
        )
    except DataError:
        return "no field can be told to be the text: name one with --text-field"
    if not path or data.text_field:
        plain = f"the records are plain text{_unit_in_words(source, data)}"
        return "it was named with --text-field" if path else plain
    if source.default_text_field:
        return "it is the field of this corpus"
    if context is not None and data.context_field is None:
        return f"records have a {context}, which comes before it, too"
    if path == "text":
        return "it is called text"
    fields = [one for one in fields_of([first], path) if not one.is_taken]
    return "the others hold numbers alone" if fields else "it is the only field with text"


def _unit_in_words(source: Source, data: DataConfig) -> str:
    """Return what a document is in plain text, and the flag for the other way."""
    if len(source.units) != 1:
        return ""
    unit = source.units[0]
    said = f", and each {unit} is a document"
    if data.txt is not None:
        return f"{said}, by --txt {unit}"
    if unit == "file":
        return f"{said}; to make each paragraph one, give --txt paragraph"
    return f"{said}, as of a single .txt file; to make the file one, give --txt file"


def plain_record(value: Mapping[str, Any] | str) -> Any:
    """Return a record as JSON holds it, plain text beside the fields of its folders."""
    if isinstance(value, TextInFolder):
        return {"text": str(value), **value.fields}
    if isinstance(value, str):
        return value
    whole = value.with_folders() if isinstance(value, RecordInFolder) else value
    return json.loads(json.dumps(whole, default=plain_or_text))
