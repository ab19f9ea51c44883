"""Open files, decompressed more strictly than by the standard library."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import shutil
import sys
import tempfile
import textwrap
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO, Protocol, cast

from nextfill.core.errors import DataError
from nextfill.core.streams import printable
from nextfill.core.url_redaction import scrub_of_library
from nextfill.data.records.file_formats import HEAD_BYTES, check_place
from nextfill.data.records.files import File

_PIECE = 1 << 16


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


class Unpacked(io.RawIOBase):
    """One compressed stream after another, as `xz` and parallel packers write them.

    `lzma.LZMAFile` and `bz2.BZ2File` take a damaged second stream for the end of the file, and
    what it holds would be gone without a word.

    Args:
        below: The compressed file.
        make: Returns a fresh decompressor.
        padding: What may stand between streams.
    """

    def __init__(
        self, below: BinaryIO, make: Callable[[], _Decompressor], *, padding: bytes
    ) -> None:
        self._below = below
        self._make = make
        self._padding = padding
        self._now = make()
        self._begun = False  # whether the present stream has had any input
        self._streams = 0

    def readable(self) -> bool:
        """Say yes."""
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Fill a buffer with what comes next; 0 at the end."""
        while True:
            held = b""
            if self._now.eof:
                held, self._now, self._begun = self._now.unused_data, self._make(), False
                self._streams += 1
            if not held and self._now.needs_input:
                held = self._below.read(_PIECE)
                if not held:
                    if self._begun or not self._streams:
                        raise EOFError("the end of a stream is missing")
                    return 0
            if not self._begun and self._streams:
                held = held.lstrip(self._padding) if self._padding else held
                if not held:
                    continue
            self._begun = True
            if made := self._now.decompress(held, len(buffer)):
                buffer[: len(made)] = made
                return len(made)


_BUFFER_BYTES = 1 << 17
_LONGEST_REASON = 300
_LZMA_MOST_MEMORY = 1 << 29
_KINDS = {".gz": "gzip", ".zst": "zstd", ".xz": "xz", ".bz2": "bzip2"}
_REMOTE_ERRORS = (
    ("aiohttp", "ClientError"),
    ("botocore.exceptions", "BotoCoreError"),
    ("botocore.exceptions", "ClientError"),
    ("gcsfs.retry", "HttpError"),
    ("google.auth.exceptions", "GoogleAuthError"),
    ("httpx2", "HTTPError"),
    ("huggingface_hub.errors", "HfHubHTTPError"),
)


def open_file(file: File) -> BinaryIO:
    """Open a file for reading, decompressed."""
    raw = file.raw()
    # What stands in a packed file's place is not packed.
    _check_place(file, raw, "" if file.compression else file.format)
    opened = _unpacked(file, raw)
    if file.compression:
        _check_place(file, opened, file.format)
    return opened


def _check_place(file: File, stream: BinaryIO, known: str) -> None:
    """Refuse what lies in a file's place, such as a pointer of Git LFS."""
    peek = getattr(stream, "peek", None)
    try:
        head = peek(HEAD_BYTES)[:HEAD_BYTES] if peek else b""
        check_place(head, file.name, known, asked=file.asked)
    except BaseException:
        stream.close()
        raise


def _unpacked(file: File, raw: BinaryIO) -> BinaryIO:
    """Put what undoes the compression over the stored bytes."""
    if file.compression == ".gz":
        unpacked: io.RawIOBase = cast("io.RawIOBase", gzip.GzipFile(fileobj=raw, mode="rb"))
    elif file.compression == ".bz2":
        unpacked = Unpacked(raw, bz2.BZ2Decompressor, padding=b"")
    elif file.compression == ".xz":
        unpacked = Unpacked(
            raw, lambda: lzma.LZMADecompressor(memlimit=_LZMA_MOST_MEMORY), padding=b"\0"
        )
    elif file.compression == ".zst":
        import pyarrow as pa

        unpacked = pa.CompressedInputStream(raw, "zstd")
    else:
        return raw
    return _Closing(unpacked, raw)


class _Closing(io.BufferedReader):
    """A decompressor, buffered, that closes the file below it, too."""

    def __init__(self, unpacked: io.RawIOBase, below: BinaryIO) -> None:
        super().__init__(unpacked, _BUFFER_BYTES)
        self._below = below

    def close(self) -> None:
        """Close both."""
        super().close()
        self._below.close()


@contextmanager
def seekable(file: File) -> Iterator[BinaryIO]:
    """Open a file for random access, by way of a temporary file where it has none."""
    with open_file(file) as stream:
        if file.seeks and not file.compression and stream.seekable():
            yield stream
            return
        with tempfile.TemporaryFile() as unpacked:
            shutil.copyfileobj(stream, unpacked, 1 << 20)
            unpacked.seek(0)
            yield cast("BinaryIO", unpacked)


@contextmanager
def reading(name: str, compression: str = "") -> Iterator[None]:
    """Turn what goes wrong between the disk and the decompressor into a `DataError`."""
    try:
        yield
    except gzip.BadGzipFile as error:
        raise DataError(
            f"{name}: damaged or not gzip, though its name ends in .gz ({said(error)}). "
            "Rename it, or fetch it again."
        ) from error
    except (EOFError, zlib.error, lzma.LZMAError) as error:
        raise _cut_short(name, compression, error) from error
    except (zipfile.BadZipFile, NotImplementedError) as error:
        raise DataError(
            f"{name}: the archive is damaged, or packed in a way that is not read ({said(error)}). "
            "Fetch it again, or unpack it and name the folder."
        ) from error
    except OSError as error:
        if compression in (".zst", ".bz2") and error.errno is None:
            raise _cut_short(name, compression, error) from error
        raise DataError(f"{name}: cannot be read: {said(error)}.") from None
    except _remote_errors() as error:
        raise DataError(f"{name}: cannot be read: {said(error)}.") from None


def _cut_short(name: str, compression: str, error: BaseException) -> DataError:
    kind = _KINDS.get(compression, "compressed")
    return DataError(
        f"{name}: the {kind} data are cut short or damaged ({said(error)}). Fetch the file again."
    )


def said(error: BaseException) -> str:
    """Return what a library says, on one short line and without the secrets of an address."""
    text = printable(getattr(error, "strerror", None) or str(error))
    short = textwrap.shorten(scrub_of_library(text), _LONGEST_REASON)
    return short.rstrip(".") or type(error).__name__


def _remote_errors() -> tuple[type[BaseException], ...]:
    """Return the errors of the libraries that reach for addresses, as far as they are loaded."""
    return tuple(
        getattr(sys.modules[module], name)
        for module, name in _REMOTE_ERRORS
        if module in sys.modules
    )
