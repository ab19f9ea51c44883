"""Records, sources, documents and counts: the plain data between sources and the token store."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

Item = TypeVar("Item")

NO_COLUMNS: Mapping[str, str] = MappingProxyType({})
"""The kept columns of nearly all documents, which share them."""


class Record(NamedTuple):
    """One record of a source, before a text field is chosen.

    Args:
        number: Position in the source, from 0.
        value: A mapping of fields, or the text itself for plain text.
        where: File and line (or row) for messages, such as ``notes.jsonl:17``.
    """

    number: int
    value: Mapping[str, Any] | str
    where: str


@dataclass(frozen=True)
class Source:
    """Records that can be read again and again.

    Args:
        name: The source as the user wrote it.
        fingerprint: SHA-256, in hexadecimal, of everything that determines the records.
        read: Returns a fresh, streaming pass over the records, numbered from 0.
        default_text_field: The field to read if the user names none.
        has_test_split: Whether the source holds out a test split of its own.
        default_join: The text between texts of a list, unless the user names another.
        num_files: Files that are read; 0 for records that come from no file.
        left_out: Files that were found and are not read, by reason.
        left_out_names: The first names of these.
        units: What a document is in its plain text, ``file``, ``paragraph`` or ``line``.
        encodings: Text files by encoding; empty where all are UTF-8.
        beside_text: Counts of what documents hold beside text, by file and kind, as far as read.
        tables: Shapes of files that hold a table by columns, by their names, as far as read.
        test_split: Name of that split.
        splits: Names of all splits, where the user may not know them.
        whole_files: The file of each record, where each is a whole one; else empty.
        files: Formats of the files, by their names in messages, in the order of reading.
        contents: What tells the content of each file, by the same names; None where it is unread.
        lacks: Fields to keep that it need not have, as another source beside it has them.
        noted_fields: Fields of which a note was given, so that another pass gives none.
        check: Raises an error where its files have changed since it was opened.
        recounted: Returns the same part of a source with the lines before it counted, for messages;
            None where they are known.
        unreadable: Returns the error for a file that a part could not read and all such after it,
            from its place among the files and why.
        divided: Returns the same records as so many sources at most, each of which can be read by
            itself; None where only one reading tells where a record stands.
    """

    name: str
    fingerprint: str
    read: Callable[[], Iterator[Record]]
    default_text_field: str | None
    has_test_split: bool
    default_join: str = " "
    num_files: int = 0
    left_out: Mapping[str, int] = field(default_factory=dict)
    left_out_names: Mapping[str, Sequence[str]] = field(default_factory=dict)
    units: Sequence[str] = ()
    encodings: Mapping[str, int] = field(default_factory=dict)
    beside_text: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    tables: Mapping[str, str] = field(default_factory=dict)
    test_split: str = "test"
    splits: Sequence[str] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    contents: Mapping[str, str | None] = field(default_factory=dict)
    whole_files: Sequence[str] = ()
    lacks: Sequence[str] = ()
    noted_fields: set[str] = field(default_factory=set)
    check: Callable[[], None] = lambda: None
    recounted: Callable[[], Source] | None = None
    unreadable: Callable[[int, str], Exception] | None = None
    divided: Callable[[int], Sequence[Source]] | None = None

    @property
    def advice(self) -> str:
        """Another remedy, for messages, where there are too few records to hold any out."""
        is_whole = "file" in self.units
        return "make each paragraph a document with --txt paragraph" if is_whole else ""


class Document(NamedTuple):
    """One text on its way to the token store.

    Args:
        text: The text; may be empty, which the ledger counts.
        record: Number of the record it came from, from 0.
        columns: Kept columns, as text, for figures by group.
        context: Characters at its beginning that are context, and no target of a loss; None where
            records have no context, and all of the text is learnt.
    """

    text: str
    record: int
    columns: Mapping[str, str] = NO_COLUMNS
    context: int | None = None


@dataclass(slots=True)
class ReadCounts:
    """Counts of a reading: every record gives documents or is counted under a reason.

    ``records == with_text + sum(skipped.values())``; without ``explode``, ``with_text`` and
    ``documents`` are the same.

    Args:
        records: Records read from the source.
        documents: Documents made, empty ones included.
        empty: Documents without any character but white space.
        skipped: Records that gave no document, by reason.
        values: Values dropped from lists of records that gave one, by reason.
        with_text: Records that gave at least one document.
        text_field: Path of the text; None for plain text.
        context_field: Path of the context before it; None where records have none.
        beside_text: What documents hold beside their text, such as images, by kind.
        tables: Files that hold a table by columns, which were read as rows, by its shape.
    """

    records: int = 0
    documents: int = 0
    empty: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    values: dict[str, int] = field(default_factory=dict)
    with_text: int = 0
    text_field: str | None = None
    context_field: str | None = None
    beside_text: dict[str, int] = field(default_factory=dict)
    tables: dict[str, int] = field(default_factory=dict)

    def skip(self, reason: str) -> None:
        """Count one record that gave no document."""
        self.skipped[reason] = self.skipped.get(reason, 0) + 1


def add_counts(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Add up counts by their names."""
    total: Counter[str] = Counter()
    for one in counts:
        total.update(one)
    return dict(total)


def batched(
    items: Iterable[Item],
    most_characters: int,
    most_items: int = sys.maxsize,
    length: Callable[[Any], int] = len,
) -> Iterator[list[Item]]:
    """Yield items in batches, each ended by the item that reaches one of its limits."""
    batch: list[Item] = []
    characters = 0
    for item in items:
        batch.append(item)
        characters += length(item)
        if characters >= most_characters or len(batch) >= most_items:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch
