"""What can be read once, or not without a secret, kept in the cache by its content.

Standard input, and a file at an address that holds a password or a signature: a run's
``config.toml`` names the file in the cache, so that it can be resumed and evaluated, and no secret
is written anywhere.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import BinaryIO

from nextfill.config import Format
from nextfill.core.errors import DataError
from nextfill.core.paths import STANDARD_INPUT, is_address, is_glob
from nextfill.core.shared_cache import make_folder
from nextfill.core.url_redaction import has_secret, path_of, redacted
from nextfill.data.records.decompression import open_file, reading
from nextfill.data.records.file_formats import ARCHIVE, compression_of, format_by_name, format_of
from nextfill.data.records.files import local_file
from nextfill.data.records.input_files import FOLDER, put_by_content, sweep, writing

_NAME = re.compile(r"(standard-input|download)\.[0-9a-f]{64}(\.\w+)+")
_PIECE = 1 << 20
_HEAD = 1 << 12


def is_to_keep(spec: str) -> bool:
    """Tell whether a ``--data`` argument names what can be read only once, or holds a secret.

    Example:
        >>> is_to_keep("-"), is_to_keep("https://x.org/a.txt?key=1f"), is_to_keep("notes.txt")
        (True, True, False)
    """
    return spec == STANDARD_INPUT or (is_address(spec) and has_secret(spec))


def kept_name(path: Path) -> str | None:
    """Return what messages call a file that was kept, or None for any other path.

    Example:
        >>> kept_name(Path("cache/inputs") / f"standard-input.{64 * 'a'}.txt")
        'standard input'
    """
    match = _NAME.fullmatch(path.name) if path.parent.name == FOLDER else None
    return match[1].replace("-", " ") if match else None


def keep(
    spec: str,
    cache: Path,
    asked: Format | None,
    on_progress: Callable[[str, int, int], None] = lambda label, done, total: None,
) -> Path:
    """Copy standard input, or the file at an address, into the cache."""
    if spec == STANDARD_INPUT:
        stream: BinaryIO | None = getattr(sys.stdin, "buffer", None)
        if stream is None:
            raise DataError("--data -: there is no standard input here. Name a file.")
        return _keep(stream, "standard input", cache, asked, on_progress=on_progress)
    from nextfill.data.records.remote_files import open_address

    if is_glob(path_of(spec)):
        raise DataError(
            f"--data {redacted(spec)!r}: an address with a password or a query names one file, and "
            "no pattern. Put the password into the environment, as the place's own tools have it."
        )
    named, _ = format_by_name(path_of(spec))
    with closing(open_address(spec)) as found:
        return _keep(
            found, redacted(spec), cache, asked or named, "download", on_progress=on_progress
        )


def _keep(
    stream: BinaryIO,
    name: str,
    cache: Path,
    known: str | None,
    noun: str = "standard-input",
    *,
    on_progress: Callable[[str, int, int], None],
) -> Path:
    folder = cache / FOLDER
    temporary = folder / f".{os.getpid()}-{time.monotonic_ns()}.tmp"
    digest, size = hashlib.sha256(), 0
    with writing(folder):
        make_folder(folder)
        sweep(folder)
    try:
        with writing(folder):
            file = temporary.open("xb")
        with file:
            while piece := _piece(stream, name):
                digest.update(piece)
                size += len(piece)
                with writing(folder):
                    file.write(piece)
                on_progress(f"keeping {name}", size, 0)
            with writing(folder):
                file.flush()
                os.fsync(file.fileno())
        if not size:
            raise DataError(f"{name} is empty (0 bytes).")
        suffixes = _suffixes(temporary, name, known)
        with writing(folder):
            content = digest.hexdigest()
            return put_by_content(temporary, f"{noun}.{content}{suffixes}", content)
    finally:
        temporary.unlink(missing_ok=True)


def _piece(stream: BinaryIO, name: str) -> bytes:
    with reading(name):
        return stream.read(_PIECE)


def _suffixes(path: Path, name: str, known: str | None) -> str:
    """Return the suffixes that tell format and compression, from the first bytes of a file."""
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if head.startswith(b"PK\x03\x04"):
        return ARCHIVE
    compression = compression_of(head)
    if known is None:
        with reading(name, compression), open_file(local_file(path, name, "", compression)) as file:
            known = format_of(file.read(_HEAD))
    return f".{known}{compression}"
