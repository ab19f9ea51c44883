"""Open files of text or bytes: undo the compression, and say what is wrong with a file.

`open_bytes` is the one place that knows of compression.
"""

from __future__ import annotations

import gzip
import shutil
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from nextfill.errors import DataError

_BOM = b"\xef\xbb\xbf"


@contextmanager
def reading(name: str) -> Iterator[None]:
    """Turn what goes wrong between the disk and the decompressor into a `DataError`.

    Args:
        name: The file's name for messages.

    Raises:
        DataError: If the file cannot be read or its compressed data are damaged.
    """
    try:
        yield
    except gzip.BadGzipFile as error:
        raise DataError(
            f"{name}: damaged or not gzip, though its name ends in .gz ({error}). "
            "Rename it, or fetch it again."
        ) from error
    except (EOFError, zlib.error) as error:
        raise DataError(
            f"{name}: the gzip data are cut short or damaged ({error}). Fetch the file again."
        ) from error
    except OSError as error:
        raise DataError(f"{name}: cannot be read: {error.strerror or error}.") from error


def open_bytes(path: Path) -> BinaryIO:
    """Open a file for reading, decompressed as its last suffix says.

    Args:
        path: The file.

    Returns:
        A binary file, to be closed by the caller.
    """
    if path.suffix.lower() == ".gz":
        return cast("BinaryIO", gzip.open(path, "rb"))
    return path.open("rb")


@contextmanager
def seekable(path: Path) -> Iterator[BinaryIO]:
    """Open a file for random access; compressed ones are unpacked to a temporary file.

    Args:
        path: The file.
    """
    with open_bytes(path) as file:
        if path.suffix.lower() != ".gz":
            yield file
            return
        with tempfile.TemporaryFile() as unpacked:
            shutil.copyfileobj(file, unpacked)
            unpacked.seek(0)
            yield cast("BinaryIO", unpacked)


def text_lines(path: Path, name: str) -> Iterator[tuple[int, str]]:
    r"""Yield (line number from 1, line with its line end), split on \n only.

    Args:
        path: The file.
        name: Its name for messages.

    Yields:
        The lines, without a byte order mark.

    Raises:
        DataError: If the file cannot be read or is not UTF-8.
    """
    with reading(name), open_bytes(path) as file:
        for number, raw in enumerate(file, start=1):
            content = raw.removeprefix(_BOM) if number == 1 else raw
            try:
                yield number, content.decode("utf-8")
            except UnicodeDecodeError as error:
                utf16 = number == 1 and raw.startswith((b"\xff\xfe", b"\xfe\xff"))
                found = "it looks like UTF-16" if utf16 else f"byte 0x{content[error.start]:02x}"
                raise DataError(
                    f"{name}:{number}: not UTF-8 ({found}). Save the file as UTF-8."
                ) from error
