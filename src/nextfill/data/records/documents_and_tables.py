"""Documents and tables in one folder: the records of a source are alike, so one kind is read."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import PurePosixPath

from nextfill.core.amounts import amount
from nextfill.core.errors import DataError
from nextfill.data.records.files import File, Files
from nextfill.data.records.formats.compression import open_file
from nextfill.data.records.formats.file_formats import BOM, WITHOUT_RECORDS

DOCUMENT, TABLE = "with text instead of records", "with records instead of text"
_HEAD = 1 << 12
_MOST_EXAMPLES = 3


def of_one_kind(
    name: str, splits: Mapping[str, Files], *, txt: str | None, text_field: str | None
) -> dict[str, Files]:
    """Leave the documents out of a source of tables, or the tables out of one of documents.

    A flag for one of them says what is wanted; else the kind of most files is.

    Raises:
        DataError: As many of the one as of the other, and no flag.
    """
    every = [file for files in splits.values() for file in files.files]
    formats = {file.format in WITHOUT_RECORDS for file in every}
    if len(formats) < 2:
        return dict(splits)
    kinds = {file.name: _kind(file) for file in every}
    counts = Counter(kinds.values())
    numbers = counts[DOCUMENT], counts[TABLE]
    if not all(numbers):
        return dict(splits)
    if bool(txt) != bool(text_field):
        other = TABLE if txt else DOCUMENT
    elif numbers[0] == numbers[1]:
        raise DataError(
            f"{name}: found {amount(numbers[0], 'file')} of text ({_some(every, kinds, DOCUMENT)}) "
            f"and as many with records ({_some(every, kinds, TABLE)}), and they are not read as "
            "one. Give --text-field NAME to read the records, with the name of the field that "
            "holds the text. To read the text, type: --txt file"
        )
    else:
        other = TABLE if numbers[0] > numbers[1] else DOCUMENT
    return {part: _without(files, kinds, other) for part, files in splits.items()}


def _kind(file: File) -> str:
    """Return what a file holds; nothing for JSON whose records are strings, which suit both."""
    if file.format in WITHOUT_RECORDS:
        return DOCUMENT
    if file.format not in ("json", "jsonl"):
        return TABLE
    with open_file(file) as stream:
        head = stream.read(_HEAD).removeprefix(BOM).lstrip()
    head = head.removeprefix(b"[").lstrip() if file.format == "json" else head
    return "" if head.startswith(b'"') else TABLE


def _some(files: Sequence[File], kinds: Mapping[str, str], kind: str) -> str:
    return next(PurePosixPath(file.name).name for file in files if kinds[file.name] == kind)


def _without(files: Files, kinds: Mapping[str, str], other: str) -> Files:
    """Return the files but those of a kind, which are counted by their suffixes."""
    apart = [file for file in files.files if kinds[file.name] == other]
    left_out, names = dict(files.left_out), dict(files.left_out_names)
    root = os.path.commonpath([os.path.dirname(file.name) for file in files.files])  # noqa: PTH120
    for file in apart:
        reason = f"{other} ({PurePosixPath(file.name).suffix.lower()})"
        left_out[reason] = left_out.get(reason, 0) + 1
        if left_out[reason] <= _MOST_EXAMPLES:
            shown = file.name.removeprefix(root).lstrip("/")
            names[reason] = [*names.get(reason, ()), shown]
    kept = [file for file in files.files if kinds[file.name] != other]
    return replace(files, files=kept, left_out=left_out, left_out_names=names)


def remedies(reasons: Mapping[str, int]) -> str:
    """Return sentences on what to type to read files that were left out, by the reasons."""
    each = {
        TABLE: "To read the records instead, name the field with their text: --text-field NAME.",
        DOCUMENT: "To read the text instead, give --txt file.",
        "archive inside": "An archive is read by itself: unpack it, or name it with --data.",
    }
    return "".join(
        f" {remedy}"
        for begin, remedy in each.items()
        if any(reason.startswith(begin) for reason in reasons)
    )
