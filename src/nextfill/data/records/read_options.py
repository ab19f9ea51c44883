"""What every reader takes beside a file, and what it yields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nextfill.config import TxtMode

Row = tuple[str, Mapping[str, Any] | str]
"""Where a record stands, for messages, and the record."""


@dataclass(frozen=True)
class ReadOptions:
    """What a reader may need to know beside the file.

    Args:
        txt: What a document is in plain text; None for the format's own.
        divide: The list of a single JSON object whose elements are the records.
        fields: Path of the text, if the user names one, and of what is kept beside it: of a table,
            the only columns read.
        several: Whether the file is one of a folder, a glob or an archive.
        tables: Takes the shapes of files that hold a table by columns, by their names, as they
            are read; None where a JSON object is a record whatever its shape.
    """

    txt: TxtMode | None = None
    divide: str | None = None
    fields: tuple[str, ...] = ()
    several: bool = False
    tables: dict[str, str] | None = None
