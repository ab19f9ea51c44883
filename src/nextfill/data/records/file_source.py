"""The source of some files: how their records are read, which of them, and their fingerprint."""

from __future__ import annotations

import os
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial

from nextfill.config import TxtMode
from nextfill.core.errors import DataError
from nextfill.data.document import Record, Source
from nextfill.data.records.documents_and_tables import of_one_kind, remedies
from nextfill.data.records.file_fingerprint import (
    check_content,
    file_facts,
    fingerprint_of_pieces,
    identity_of_files,
    joined_files,
    whole_files,
)
from nextfill.data.records.file_ranges import divided
from nextfill.data.records.file_readers import (
    COUNTED_FORMATS,
    count_records,
    read_file,
    text_units,
)
from nextfill.data.records.file_selection import DESCRIPTION, HIDDEN, describe_counts
from nextfill.data.records.files import File, Files, ReadOptions, Row, warn_once
from nextfill.data.records.formats.compression import reading
from nextfill.data.records.formats.text_encodings import with_encodings
from nextfill.data.records.numbered_records import by_number, numbered
from nextfill.data.records.python_data.dataset_splits import TRAIN, held_out_split
from nextfill.data.records.slices import Piece, check_slice, resolve
from nextfill.data.records.split_names import split_advice
from nextfill.data.records.unreadable_files import read_each, unreadable_from


@dataclass(frozen=True)
class FileRequest:
    """What is wanted of files: `open_source` has the same arguments."""

    split: str | None
    txt: TxtMode | None
    fields: tuple[str, ...]
    keep: tuple[str, ...]
    peek: bool
    unread: bool
    strings_only: bool


@dataclass(frozen=True)
class _FileRecords:
    """The records of files by split, of which ``live`` ones are named by their number."""

    name: str
    splits: Mapping[str, Files]
    options: ReadOptions
    live: bool

    def rows(self, part: str) -> Iterator[Row]:
        """Read the records of a split."""
        read = partial(read_file, self.options)
        records = read_each(self.splits[part].files, read, self.name)
        return by_number(records, self.name) if self.live else records

    def count(self, part: str, *, unread: bool) -> int:
        """Count the records of a split, which may not be read for it."""
        files = self.splits[part].files
        if unread and any(file.format not in COUNTED_FORMATS for file in files):
            raise DataError(
                "--split: percentages and places from the end need the number of records of "
                f"{self.name}, which is not known while it is read as it comes: give places from "
                "the beginning, such as train[:5000], or leave --streaming out."
            )

        def count(file: File) -> Iterator[int]:
            yield count_records(self.options, file)

        return sum(read_each(files, count, self.name))


def open_files(
    wanted: FileRequest,
    name: str,
    splits: Mapping[str, Files],
    *,
    encoding: str | None = None,
    live: bool = False,
    content: str | None = None,
) -> Source:
    """Make the source of files by split; nearly always the only split is ``train``.

    Records of ``live`` data are named by their number; ``content`` is the SHA-256 of a file in the
    cache when it was written.
    """
    if not live:
        field = wanted.fields[0] if wanted.fields else None
        with reading(name):
            splits = of_one_kind(name, splits, txt=wanted.txt, text_field=field)
    names = (file.name for one in splits.values() for file in one.files)
    # Checked before anything is read whole.
    check_slice(wanted.split or TRAIN, list(splits), lambda: "" if live else split_advice(names))
    # Each of a list of dicts is a record, whatever its shape.
    options = _read_options(wanted, splits, None if live else {})
    splits, encodings = with_encodings(
        *(name, splits, encoding),
        whole=not (wanted.peek or wanted.unread),
        read_file=partial(read_file, options),
    )
    return _source(wanted, _FileRecords(name, splits, options, live), encodings, content)


def _source(
    wanted: FileRequest, records: _FileRecords, encodings: Mapping[str, int], content: str | None
) -> Source:
    """Make the source of records whose files are known to be text, or to need no encoding."""
    name, splits, options = records.name, records.splits, records.options
    unread = wanted.unread and content is None
    with reading(name):
        count = partial(records.count, unread=unread)
        pieces = resolve(wanted.split or TRAIN, list(splits), count)
        files = joined_files([splits[part] for part in dict.fromkeys(one.split for one in pieces)])
        check = partial(_check_unchanged, name, files, files.state())
        facts = partial(file_facts, options=options, unread=unread)
        each = [] if wanted.peek else [facts(file) for file in files.files]
        check_content(each, content, name)
    _note_left_out(name, files)

    def read() -> Iterator[Record]:
        yield from numbered(name, wanted.split, pieces, records.rows)
        check()

    test_split = held_out_split(list(splits))
    source = Source(
        name,
        fingerprint_of_pieces(each, pieces, identity_of_files(files) if unread else None),
        read,
        default_text_field=None,
        has_test_split=test_split is not None,
        test_split=test_split or "test",
        splits=list(splits) if len(splits) > 1 else (),
        num_files=len(files.files),
        left_out=files.left_out,
        left_out_names=files.left_out_names,
        units=text_units(files, options),
        encodings=encodings,
        beside_text=options.beside_text,
        tables={} if options.tables is None else options.tables,
        files={file.name: file.format for file in files.files},
        contents={file.name: one[5] for file, one in zip(files.files, each, strict=False)},
        whole_files=() if records.live else whole_files(files, options, pieces),
        check=check,
    )
    is_whole = pieces == (Piece(pieces[0].split),)  # the records of whole files, each once
    return _with_parts(source, files, options) if is_whole and not records.live else source


def _with_parts(source: Source, files: Files, options: ReadOptions) -> Source:
    """Return a source of whole files that can be divided among readers."""

    def unreadable(at: int, problem: str) -> DataError:
        read = partial(read_file, options)
        return unreadable_from(at, problem, files.files, read, source.name)

    in_parts = partial(divided, source, files.files, options, read_file)
    return replace(source, divided=in_parts, unreadable=unreadable)


def _check_unchanged(name: str, files: Files, state: Hashable) -> None:
    with reading(name):
        changed = files.state() != state
    if changed:
        raise DataError(f"{name} changed while it was read; run again.")


def _read_options(
    wanted: FileRequest, splits: Mapping[str, Files], tables: dict[str, str] | None
) -> ReadOptions:
    """Return how the files are read; the shapes of tables by columns are put into ``tables``."""
    divide = _divide(wanted.fields[0] if wanted.fields else "")
    columns = () if wanted.peek else wanted.fields  # a look shows them all
    several = len(splits) > 1 or any(one.several for one in splits.values())
    wants = wanted.txt, divide, columns, wanted.keep
    return ReadOptions(*wants, several, tables=tables, strings_only=wanted.strings_only)


def _divide(text_field: str) -> str | None:
    """Return the first name of a text field such as ``data[].text`` if that is a list."""
    head, mark, _ = text_field.partition("[]")
    return head if mark and "." not in head else None


def _note_left_out(name: str, files: Files) -> None:
    """Report files that are left out, but those that nobody misses: they are in the ledger."""
    expected = (HIDDEN, DESCRIPTION)
    reported = {reason: n for reason, n in files.left_out.items() if reason not in expected}
    if reported:
        beside = [os.path.abspath(file.name) for file in files.files]  # noqa: PTH100 - or an address
        counted = describe_counts(reported, files.left_out_names)
        stop = "." if (remedy := remedies(reported)) else ""
        message = f"{name}: files that are left out: {counted}{stop}{remedy}"
        warn_once(message, ["left out", beside[:1], reported])
