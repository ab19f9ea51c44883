"""The readers of files by format, and the records that each file has.

A field that is in the name of a folder is added to the records below it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

from nextfill.data.records.fields.folder_fields import folder_fields, with_fields
from nextfill.data.records.files import File, Files, ReadOptions, Row
from nextfill.data.records.formats.column_tables import count_rows, read_arrow, read_parquet
from nextfill.data.records.formats.file_formats import RICH_TEXT, WITHOUT_RECORDS, txt_mode
from nextfill.data.records.formats.json_records import read_json, read_jsonl
from nextfill.data.records.formats.rich_text import read_rich_text
from nextfill.data.records.formats.text_and_csv import read_delimited, read_txt

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

COUNTED_FORMATS = ("parquet", "arrow")
"""Those whose files say how many records they have."""


def read_file(options: ReadOptions, file: File) -> Iterator[Row]:
    """Read the records of a file, with the fields of its folders."""
    named = folder_fields(file.name, options.keep)
    if not named:
        return READERS[file.format](file, options)
    fields = tuple(one for one in options.fields if one not in named)
    rows = READERS[file.format](file, replace(options, fields=fields))
    return ((where, with_fields(value, named)) for where, value in rows)


def count_records(options: ReadOptions, file: File) -> int:
    """Count the records of a file: from metadata where there are any, else by a pass."""
    if file.format in COUNTED_FORMATS:
        return count_rows(file)
    return sum(1 for _ in READERS[file.format](file, options))


def text_units(files: Files, options: ReadOptions) -> tuple[str, ...]:
    """Return the units that plain text is divided into, of files that have no records."""
    texts = {file.format for file in files.files} & {*WITHOUT_RECORDS}
    return tuple(sorted({txt_mode(options, one) for one in texts}))
