"""Files in a cache for data that cannot be read twice by their name: ``inputs/`` and its names.

Data of a Python program (``inputs/3-texts.<sha256>.jsonl``), standard input, and the file at an
address that holds a password or a signature. A run's ``config.toml`` names the file in the cache,
so that everything behind it (resuming, evaluating the run, the ledger) is the same as for a file of
the user's own, and no secret is written anywhere. Texts and dicts become lines of JSON, which keeps
null and missing apart; columns become Parquet, which keeps their types.
"""

from __future__ import annotations

import hashlib
import logging
import os
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, BinaryIO

from nextfill.config import Format
from nextfill.core.amounts import with_article
from nextfill.core.errors import DataError
from nextfill.core.paths import STANDARD_INPUT, is_glob
from nextfill.core.progress import Progress, Silent
from nextfill.core.shared_cache import make_folder, open_to_group
from nextfill.core.url_redaction import path_of, redacted
from nextfill.data.records.files import INPUTS, content_hash, local_file, remembering
from nextfill.data.records.formats.compression import open_file, reading
from nextfill.data.records.formats.file_formats import (
    ARCHIVE,
    compression_of,
    format_by_name,
    format_of,
)
from nextfill.data.records.python_data.data_frames import columns_of, write_tables
from nextfill.data.records.python_data.python_records import (
    check_kind,
    plain_or_text,
    write_lines,
)

logger = logging.getLogger("nextfill")

_PIECE = 1 << 20
_HEAD = 1 << 12
_READ_WHOLE = (b"PK\x03\x04", b"PAR1", b"ARROW1", b"%PDF-")
"""Beginnings of files whose table of contents, or frame, stands at the end."""

_STALE_S = 24 * 3600.0

_SILENT: Progress = Silent().on_stage


def write_live(
    value: Any, cache: Path, keyword: str = "data", on_progress: Progress = _SILENT
) -> Path:
    """Write data to a file in the cache; an iterator is used up as it is written.

    Example:
        >>> import tempfile
        >>> write_live(["one", "two"], Path(tempfile.mkdtemp())).name[:8]
        '2-texts.'
    """
    check_kind(keyword, value)
    folder = cache / INPUTS

    def report() -> None:
        on_progress(f"writing down {keyword}", file.tell(), 0)

    def write(content: bytes) -> None:
        with _writing(folder):  # and not around the iterator, whose errors are its own
            file.write(content)
        report()

    with _new_file(folder) as file:
        columns = columns_of(keyword, value)
        suffix = ".jsonl"
        if columns is None:
            number, noun = write_lines(_records(value), keyword, write)
        elif columns.rows is not None:
            number, noun = write_lines(columns.rows, keyword, write, plain_or_text)[0], columns.noun
        else:
            with _writing(folder):
                number = write_tables(columns.tables, keyword, file, report)
            noun, suffix = columns.noun, ".parquet"
        if number == 0:
            raise DataError(f"{keyword}: found {with_article(value)} without a record in it.")
        return _rename_by_content(file, f"{number}-{noun}", suffix)


def _records(value: Any) -> Iterable[object]:
    """Iterate over a value; a data set of PyTorch's may have only a length and items."""
    return value if hasattr(value, "__iter__") else (value[n] for n in range(len(value)))


def copy_to_cache(
    spec: str,
    cache: Path,
    format_flag: Format | None,
    on_progress: Progress = _SILENT,
    most_bytes: int = sys.maxsize,
) -> Path:
    """Copy standard input, or the file at an address, into the cache.

    After ``most_bytes`` it ends with a line, unless the file can only be read whole.
    """
    source: AbstractContextManager[BinaryIO]
    if spec == STANDARD_INPUT:
        if not hasattr(sys.stdin, "buffer"):
            raise DataError("--data -: there is no standard input here. Name a file.")
        name, noun, by_name = "standard input", "standard-input", None
        source = nullcontext(sys.stdin.buffer)
    else:
        name, noun, by_name = redacted(spec), "download", format_by_name(path_of(spec))[0]
        source = _open_download(spec, name)
    folder, size = cache / INPUTS, 0
    with source as stream, _new_file(folder) as file:
        while piece := _read_piece(stream, name):
            whole = size == 0 and piece.startswith(_READ_WHOLE)
            most_bytes = sys.maxsize if whole else most_bytes
            size += len(piece)
            with _writing(folder):
                file.write(piece)
            on_progress(f"keeping {name}", size, 0)
            if size >= most_bytes:
                _end_with_line(file)
                break
        if not size:
            raise DataError(f"{name} is empty (0 bytes).")
        with _writing(folder):
            file.flush()
        suffixes = _suffixes(Path(file.name), name, format_flag or by_name)
        return _rename_by_content(file, noun, suffixes)


def _open_download(address: str, name: str) -> BinaryIO:
    from nextfill.data.records.remote_files import open_address

    if is_glob(path_of(address)):
        raise DataError(
            f"--data {name!r}: an address with a password or a query names one file, and no "
            "pattern. Put the password into the environment, as the place's own tools have it."
        )
    return open_address(address)


def _read_piece(stream: BinaryIO, name: str) -> bytes:
    with reading(name):
        return stream.read(_PIECE)


def _end_with_line(file: BinaryIO) -> None:
    """Cut a file after its last whole line; one without is left as it is."""
    place = file.tell()
    while place > 0:
        start = max(0, place - _PIECE)
        file.seek(start)
        if found := file.read(place - start).rfind(b"\n") + 1:
            file.truncate(start + found)
            return
        place = start


def _suffixes(path: Path, name: str, file_format: str | None) -> str:
    """Return the suffixes for format and compression, by the first bytes of a file."""
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if head.startswith(b"PK\x03\x04"):
        return ARCHIVE
    compression = compression_of(head)
    if file_format is None:
        with reading(name, compression), open_file(local_file(path, name, "", compression)) as file:
            file_format = format_of(file.read(_HEAD))
    return f".{file_format}{compression}"


@contextmanager
def _new_file(folder: Path) -> Iterator[BinaryIO]:
    """Yield a new file in a folder; it is removed unless `_rename_by_content` takes it."""
    temporary = folder / f".{os.getpid()}-{time.monotonic_ns()}.tmp"
    with _writing(folder):
        make_folder(folder)
        _remove_stale(folder)
        file = temporary.open("x+b")
    try:
        with file:
            yield file
    finally:
        temporary.unlink(missing_ok=True)


def _rename_by_content(file: BinaryIO, stem: str, suffixes: str) -> Path:
    """Close a new file and put it in the place that its content names; a sound file there stays."""
    temporary = Path(file.name)
    with _writing(temporary.parent):
        file.flush()
        os.fsync(file.fileno())
        file.seek(0)
        digest = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
        file.close()
        final = temporary.with_name(f"{stem}.{digest}{suffixes}")
        there = os.path.lexists(final)
        # A file that cannot be read is as good as damaged.
        with suppress(OSError), remembering(final.parent.parent, verify=False):
            if there and content_hash(final) == digest:
                return final
        temporary.replace(final)
        open_to_group(final)
    if there:
        logger.warning("%s was damaged, and is written again", final)
    return final


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Turn a fault of writing into the cache into a `DataError` with its remedy."""
    try:
        yield
    except OSError as error:
        raise DataError(
            f"{folder} cannot be written: {error.strerror or error}. Make room there, or name "
            "another folder with cache_dir."
        ) from error


def _remove_stale(folder: Path) -> None:
    """Remove the files of killed processes, a day after they last wrote to them."""
    for path in folder.glob(".*.tmp"):
        with suppress(OSError):  # its owner has just renamed it, or keeps it
            if time.time() - path.stat().st_mtime > _STALE_S:
                path.unlink()
