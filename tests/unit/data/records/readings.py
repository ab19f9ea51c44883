"""Readings of files for the tests of records: values, errors, and files packed in every way."""

from __future__ import annotations

import bz2
import gzip
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import strategies as st

from nextfill.core.errors import DataError
from nextfill.data.records.file_readers import READERS
from nextfill.data.records.files import File, ReadOptions, local_file
from nextfill.data.records.formats.file_formats import format_by_name
from nextfill.data.records.sources import open_source

TRICKY = [
    "",
    "a\r\nb",
    "a\nb\rc",
    "x\u2028y\u2029z\x85",
    "🦊é",
    ' "quoted", ',
    "\ufeffbom",
    "\\",
    "\x1c",
]
TEXTS = st.lists(st.text() | st.sampled_from(TRICKY), min_size=1, max_size=6)

PACK: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": lambda content: pa.compress(content, codec="zstd", asbytes=True),
}
PACKED = [suffix for suffix in PACK if suffix]


def file_at(path: Path) -> File:
    return local_file(path, path.name, *format_by_name(path.name))


def values_of(path: Path, **options: str) -> list[object]:
    """Return the values that the reader of a file gives."""
    file = file_at(path)
    return [value for _, value in READERS[file.format](file, ReadOptions(**options))]


def reader_error(path: Path, **options: str) -> str:
    with pytest.raises(DataError) as caught:
        values_of(path, **options)
    return str(caught.value)


def values(spec: object, **options: Any) -> list[object]:
    """Return the values that a source gives, as ``--data`` names it."""
    return [record.value for record in open_source(str(spec), **options).read()]


def source_error(spec: object, **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        values(spec, **options)
    return str(caught.value)
