"""The fingerprint of files and pieces of files: what determines the records that they give."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePath

from nextfill.core.errors import DataError
from nextfill.data.records.fields.folder_fields import folder_fields
from nextfill.data.records.file_selection import MOST_EXAMPLES
from nextfill.data.records.files import File, Files, ReadOptions
from nextfill.data.records.formats.compression import reading
from nextfill.data.records.formats.file_formats import WITHOUT_RECORDS, txt_mode
from nextfill.data.records.slices import Piece

# Part of every fingerprint of files: raise it when a reader gives other records than before.
_FORMAT = 3

# The same for formats that are read otherwise than at that version.
_LINES = "line feeds"
_BESIDE = {"html": "without menus", "docx": "without tables of contents"}


def fingerprint_of_pieces(
    files: list[list[str | None]], pieces: Sequence[Piece], identity: str | None
) -> str:
    """Return the fingerprint of pieces of files, by an identity if they are unread."""
    bounds = [(piece.start, piece.stop) for piece in pieces]
    determines: dict[str, object] = {"format": _FORMAT, "files": files, "pieces": bounds}
    names = [piece.split for piece in pieces]
    if len(set(names)) > 1:
        determines["splits"] = names
    if identity is not None:
        determines["identity"] = identity
    return hashlib.sha256(json.dumps(determines, sort_keys=True).encode()).hexdigest()


def joined_files(each: Sequence[Files]) -> Files:
    """Return the files of several splits together."""
    if len(each) == 1:
        return each[0]
    left_out = sum((Counter(one.left_out) for one in each), Counter[str]())
    names: dict[str, list[str]] = {}
    for one in each:
        for reason, some in one.left_out_names.items():
            names[reason] = [*names.get(reason, []), *some][:MOST_EXAMPLES]
    files = [file for one in each for file in one.files]
    state, several = (lambda: tuple(one.state() for one in each)), each[0].several
    return Files(files, state, several, left_out, names)


def identity_of_files(files: Files) -> str:
    """Return what tells files from others without reading them, for their fingerprint.

    Where nothing does, as at an address whose server says neither sum nor time, it is the moment.
    """
    identity = (files.identity or files.state)()
    is_known = bool(identity) and (not isinstance(identity, tuple) or all(identity))
    return repr(identity if is_known else time.time_ns())


def check_content(each: Sequence[Sequence[str | None]], content: str | None, name: str) -> None:
    """Refuse a file of the cache whose bytes are not those that its name tells."""
    if content is not None and any(content not in one for one in each):
        raise DataError(
            f"{name}: the file in the cache is damaged: it holds other bytes than were written. "
            "Give the same data again, as they were given first, and it is written again."
        )


def whole_files(files: Files, options: ReadOptions, pieces: Sequence[Piece]) -> list[str]:
    """Return the names of files that are one record each, below the folder of them all."""
    one_each = all(
        file.format in WITHOUT_RECORDS and txt_mode(options, file.format) == "file"
        for file in files.files
    )
    if not one_each or len(pieces) != 1:
        return []
    paths = [PurePath(file.name) for file in files.files]
    above = os.path.commonpath([path.parent for path in paths])
    return [str(path.relative_to(above)) for path in paths][pieces[0].start : pieces[0].stop]


def file_facts(file: File, options: ReadOptions, *, unread: bool) -> list[str | None]:
    """Return the facts that determine the records of a file, for its fingerprint."""
    content = None
    if not unread:
        with reading(file.name):
            content = file.content()
    mode = txt_mode(options, file.format) if file.format in WITHOUT_RECORDS else None
    return [
        file.format,
        file.compression,
        mode,
        options.divide if file.format == "json" else None,
        "tables" if file.format in ("json", "jsonl") and options.tables is not None else None,
        content,
        *([_LINES] if mode == "file" and file.format in ("txt", "md") else []),
        *([json.dumps(named)] if (named := folder_fields(file.name, options.keep)) else []),
        *([_BESIDE[file.format]] if file.format in _BESIDE else []),
        *([file.encoding] if file.encoding else []),
    ]
