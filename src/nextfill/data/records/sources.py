"""Sources of records: built-in corpora, files of this machine or elsewhere, data sets on the Hub.

A `Source` can be read any number of times, and its fingerprint identifies its records, so that work
done on them can be found again. Nothing is read into memory whole.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from nextfill.config import Format, TxtMode
from nextfill.config.command_line.several_names import joined_names
from nextfill.config.prefixes import BUILTIN, LIVE
from nextfill.core.errors import DataError
from nextfill.core.hub_client import parse_dataset
from nextfill.core.paths import STANDARD_INPUT, is_address, nearest_path, user_path
from nextfill.core.url_redaction import redacted
from nextfill.data.document import Record, Source
from nextfill.data.records.builtin_corpora import open_builtin
from nextfill.data.records.documents_and_tables import of_one_kind, remedies
from nextfill.data.records.fields.folder_fields import folder_fields, with_fields
from nextfill.data.records.file_fingerprint import (
    check_content,
    file_facts,
    fingerprint_of_pieces,
    identity_of_files,
    joined_files,
    whole_files,
)
from nextfill.data.records.file_ranges import divided
from nextfill.data.records.file_selection import DESCRIPTION, HIDDEN, describe_counts
from nextfill.data.records.files import (
    File,
    Files,
    ReadOptions,
    Row,
    display_name,
    input_digest,
    live_name,
    warn_once,
)
from nextfill.data.records.formats.column_tables import count_rows, read_arrow, read_parquet
from nextfill.data.records.formats.compression import reading
from nextfill.data.records.formats.file_formats import (
    RICH_TEXT,
    WITHOUT_RECORDS,
    readable_formats,
    txt_mode,
)
from nextfill.data.records.formats.json_records import read_json, read_jsonl
from nextfill.data.records.formats.rich_text import read_rich_text
from nextfill.data.records.formats.text_and_csv import read_delimited, read_txt
from nextfill.data.records.formats.text_encodings import (
    UTF8,
    checked_encoding,
    with_encodings,
)
from nextfill.data.records.local_files import files_by_split, find_files, is_path
from nextfill.data.records.numbered_records import by_number, numbered
from nextfill.data.records.python_data.dataset_splits import TRAIN, held_out_split
from nextfill.data.records.python_data.live_records import open_held
from nextfill.data.records.remote_files import files_at
from nextfill.data.records.slices import Piece, check_slice, resolve
from nextfill.data.records.split_names import split_advice
from nextfill.data.records.unreadable_files import read_each, unreadable_from

_FILE_SCHEME = "file://"

READERS: dict[str, Callable[[File, ReadOptions], Iterator[Row]]] = {
    "txt": read_txt,
    "md": read_txt,
    "jsonl": read_jsonl,
    "json": read_json,
    "csv": partial(read_delimited, mark=","),
    "tsv": partial(read_delimited, mark="\t"),
    "parquet": read_parquet,
    "arrow": read_arrow,
    **dict.fromkeys(RICH_TEXT, read_rich_text),
}
"""The readers by format: a file in, records out, streaming."""


def open_source(
    spec: str,
    *,
    split: str | None = None,
    txt: TxtMode | None = None,
    text_field: str | None = None,
    keep: Sequence[str] = (),
    format: Format | None = None,  # noqa: A002 - its name everywhere else
    encoding: str | None = None,
    streaming: bool = False,
    peek: bool = False,
    unread: bool = False,
    strings_only: bool = False,
) -> Source:
    """Find the source that a ``--data`` argument names, and check that it can be read.

    Files are read once for the fingerprint, but not to ``peek``, where it stands for nothing, and
    records have all of their fields; nor ``unread``, where they are told from others by their
    places, sizes and times. With ``strings_only`` numbers beyond 64 bits may be rounded.
    """
    if encoding is not None:
        checked_encoding(encoding)
    if spec.startswith(BUILTIN):
        return open_builtin(spec, split)
    if spec.startswith(LIVE):
        return open_held(spec, split)
    fields = (text_field, *keep) if text_field else ()
    wanted = split, txt, fields, tuple(keep), peek, unread, strings_only
    opened = partial(_open_files, _Wanted(*wanted))
    if is_address(spec) and not spec.lower().startswith(_FILE_SCHEME):
        name = display_name(redacted(spec))
        return opened(name, {TRAIN: files_at(spec, format)}, encoding=encoding)
    if spec == STANDARD_INPUT:
        from nextfill.data.records.python_data.input_files import copy_to_cache
        from nextfill.data.store.store_cache import cache_dir

        spec = str(copy_to_cache(spec, cache_dir(), format))
    at = len(_FILE_SCHEME) if spec.lower().startswith(_FILE_SCHEME) else 0
    path = user_path(spec[at:], "--data")
    if is_path(spec, path):
        if splits := files_by_split(spec, path, format):
            return opened(display_name(spec), splits, encoding=encoding)
        name, files = find_files(spec, path, format)
        live, content = live_name(path) is not None, input_digest(path)
        encoding = UTF8 if live else encoding
        return opened(name, {TRAIN: files}, encoding=encoding, live=live, content=content)
    if several := joined_names("--data", spec):
        raise DataError(several)
    if (dataset := parse_dataset(spec)) is None:
        hint = f"{nearest_path(path)} {readable_formats()}"
        raise DataError(f"--data {display_name(spec)!r} is neither a file nor a Hub id.{hint}")
    from nextfill.data.records.hub_datasets import open_hub

    return open_hub(dataset, split, () if peek else fields, streaming=streaming)


def pinned(spec: str) -> str:
    """Return a ``--data`` argument, a data set of the Hub with its present commit.

    Anything else comes back as it is, and so does a data set while the Hub is out of reach.
    """
    elsewhere = spec.startswith((BUILTIN, LIVE)) or spec == STANDARD_INPUT or is_address(spec)
    if elsewhere or is_path(spec, user_path(spec, "--data")):
        return spec
    name = parse_dataset(spec)
    if name is None or name.is_pinned:
        return spec
    from nextfill.data.records.hub_datasets import pin

    return str(pin(name))


def _divide(text_field: str) -> str | None:
    """Return the first name of a text field such as ``data[].text`` if that is a list."""
    head, mark, _ = text_field.partition("[]")
    return head if mark and "." not in head else None


@dataclass(frozen=True)
class _Wanted:
    """What is wanted of files: `open_source` has the same arguments."""

    split: str | None
    txt: TxtMode | None
    fields: tuple[str, ...]
    keep: tuple[str, ...]
    peek: bool
    unread: bool
    strings_only: bool


def _open_files(
    wanted: _Wanted,
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
    slices = wanted.split or TRAIN  # checked before anything is read whole
    check_slice(slices, list(splits), lambda: "" if live else split_advice(names))
    tables: dict[str, str] = {}
    # Each of a list of dicts is a record, whatever its shape.
    options = _read_options(wanted, splits, None if live else tables)
    read_file = partial(_read_file, options)
    whole = not (wanted.peek or wanted.unread)
    splits, counts = with_encodings(name, splits, encoding, whole=whole, read_file=read_file)
    with reading(name):
        unread = wanted.unread and content is None
        count = partial(_count, options=options, name=name, unread=unread)
        pieces = resolve(slices, list(splits), lambda part: count(splits[part]))
        files = joined_files([splits[part] for part in dict.fromkeys(one.split for one in pieces)])
        state = files.state()
        facts = partial(file_facts, options=options, unread=unread)
        each = [] if wanted.peek else [facts(file) for file in files.files]
        check_content(each, content, name)
    _note_left_out(name, files)

    def rows(part: str) -> Iterator[Row]:
        records = read_each(splits[part].files, read_file, name)
        return by_number(records, name) if live else records

    def check() -> None:
        with reading(name):
            changed = files.state() != state
        if changed:
            raise DataError(f"{name} changed while it was read; run again.")

    def read() -> Iterator[Record]:
        yield from numbered(name, wanted.split, pieces, rows)
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
        units=_units(files, options),
        encodings=counts,
        beside_text=options.beside_text,
        tables=tables,
        files={file.name: file.format for file in files.files},
        contents={file.name: one[5] for file, one in zip(files.files, each, strict=False)},
        whole_files=() if live else whole_files(files, options, pieces),
        check=check,
    )
    if live or pieces != (Piece(pieces[0].split),):  # the records of whole files, each once
        return source
    in_parts = partial(divided, source, files.files, options, _read_file)

    def unreadable(at: int, problem: str) -> DataError:
        return unreadable_from(at, problem, files.files, read_file, name)

    return replace(source, divided=in_parts, unreadable=unreadable)


def _read_options(
    wanted: _Wanted, splits: Mapping[str, Files], tables: dict[str, str] | None
) -> ReadOptions:
    """Return how the files are read; the shapes of tables by columns are put into ``tables``."""
    divide = _divide(wanted.fields[0] if wanted.fields else "")
    columns = () if wanted.peek else wanted.fields  # a look shows them all
    several = len(splits) > 1 or any(one.several for one in splits.values())
    wants = wanted.txt, divide, columns, wanted.keep
    return ReadOptions(*wants, several, tables=tables, strings_only=wanted.strings_only)


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


def _read_file(options: ReadOptions, file: File) -> Iterator[Row]:
    named = folder_fields(file.name, options.keep)
    if not named:
        return READERS[file.format](file, options)
    fields = tuple(one for one in options.fields if one not in named)
    rows = READERS[file.format](file, replace(options, fields=fields))
    return ((where, with_fields(value, named)) for where, value in rows)


def _units(files: Files, options: ReadOptions) -> tuple[str, ...]:
    """Return the units that plain text is divided into, of files that have no records."""
    texts = {file.format for file in files.files} & {*WITHOUT_RECORDS}
    return tuple(sorted({txt_mode(options, one) for one in texts}))


def _count(files: Files, options: ReadOptions, name: str, *, unread: bool) -> int:
    """Count the records: from metadata where there are any, else by a pass."""
    if unread and any(file.format not in ("parquet", "arrow") for file in files.files):
        raise DataError(
            f"--split: percentages and places from the end need the number of records of {name}, "
            "which is not known while it is read as it comes: give places from the beginning, such "
            "as train[:5000], or leave --streaming out."
        )

    def count(file: File) -> Iterator[int]:
        if file.format in ("parquet", "arrow"):
            yield count_rows(file)
        else:
            yield sum(1 for _ in READERS[file.format](file, options))

    return sum(read_each(files.files, count, name))
