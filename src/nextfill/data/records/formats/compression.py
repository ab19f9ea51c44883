"""Compressed files and zip archives, opened more strictly than by the standard library."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import re
import shutil
import sys
import tempfile
import textwrap
import weakref
import zipfile
import zlib
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager, suppress
from functools import cache, partial
from typing import BinaryIO, Protocol, cast

from nextfill.config import Format
from nextfill.core.errors import DataError
from nextfill.core.streams import printable
from nextfill.core.url_redaction import scrub_of_library
from nextfill.data.records.file_selection import Entry, select_files
from nextfill.data.records.files import File, Files, display_name
from nextfill.data.records.formats.file_formats import HEAD_BYTES, refuse_placeholder
from nextfill.data.records.formats.recoded_text import RecodedText
from nextfill.data.records.output_folders import without_outputs

_PIECE = 1 << 16
_COPY_BYTES = 1 << 20
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
_ABSOLUTE = re.compile(r"[/\\]|[A-Za-z]:")
_ENCRYPTED = 0x1
_DAMAGE = (zipfile.BadZipFile, NotImplementedError, zlib.error, EOFError, OSError)


def open_file(file: File) -> BinaryIO:
    """Open a file for reading, decompressed; a placeholder in its place is refused."""
    raw = file.raw()
    # A placeholder for a compressed file is not compressed itself.
    _check_head(file, raw, "" if file.compression else file.format)
    if not file.compression:
        return _recoded(file, raw)
    opened = _Closing(_decompressed(file, raw), raw)
    _check_head(file, opened, file.format)
    return _recoded(file, opened)


def _recoded(file: File, stream: BinaryIO) -> BinaryIO:
    return RecodedText(stream, file.encoding, file.name) if file.encoding else stream


def _check_head(file: File, stream: BinaryIO, file_format: str) -> None:
    peek = getattr(stream, "peek", None)
    try:
        head = peek(HEAD_BYTES)[:HEAD_BYTES] if peek else b""
        refuse_placeholder(head, file.name, file_format, by_flag=file.by_flag)
    except BaseException:
        stream.close()
        raise


def _decompressed(file: File, raw: BinaryIO) -> io.RawIOBase:
    if file.compression == ".gz":
        return cast("io.RawIOBase", gzip.GzipFile(fileobj=raw, mode="rb"))
    if file.compression == ".bz2":
        return _Decompressed(raw, bz2.BZ2Decompressor, padding=b"")
    if file.compression == ".xz":
        make = partial(lzma.LZMADecompressor, memlimit=_LZMA_MOST_MEMORY)
        return _Decompressed(raw, make, padding=b"\0")
    import pyarrow as pa

    return cast("io.RawIOBase", pa.CompressedInputStream(raw, "zstd"))


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


class _Decompressed(io.RawIOBase):
    """One compressed stream after another, as `xz` and parallel packers write them.

    `lzma.LZMAFile` and `bz2.BZ2File` take a damaged second stream for the end of the file, and
    its content would be gone without a word. Only `padding` may separate streams.
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
        """Return True."""
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Fill a buffer with the bytes that come next; 0 at the end."""
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


class _Closing(io.BufferedReader):
    """A buffered decompressor that closes the file below it, too."""

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
        with temporary_copy(stream) as copy:
            yield copy


def temporary_copy(stream: BinaryIO) -> BinaryIO:
    """Copy a stream into a temporary file, which the caller closes."""
    copy = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
    try:
        shutil.copyfileobj(stream, copy, _COPY_BYTES)
    except BaseException:
        copy.close()
        raise
    copy.seek(0)
    return cast("BinaryIO", copy)


@contextmanager
def reading(name: str, compression: str = "") -> Iterator[None]:
    """Turn the errors of disk, network and decompressor into a `DataError`."""
    try:
        yield
    except gzip.BadGzipFile as error:
        raise DataError(
            f"{name}: damaged or not gzip, though its name ends in .gz ({error_text(error)}). "
            "Rename it, or fetch it again."
        ) from error
    except (EOFError, zlib.error, lzma.LZMAError) as error:
        raise _cut_short(name, compression, error) from error
    except (zipfile.BadZipFile, NotImplementedError) as error:
        raise DataError(
            f"{name}: the archive is damaged, or packed in a way that is not read "
            f"({error_text(error)}). Fetch it again, or unpack it and name the folder."
        ) from error
    except external_errors() as error:
        is_codec = isinstance(error, OSError) and error.errno is None
        if is_codec and compression in (".zst", ".bz2"):
            raise _cut_short(name, compression, error) from error
        raise DataError(f"{name}: cannot be read: {error_text(error)}.") from None


def _cut_short(name: str, compression: str, error: BaseException) -> DataError:
    kind = _KINDS.get(compression, "compressed")
    return DataError(
        f"{name}: the {kind} data are cut short or damaged ({error_text(error)}). Fetch the file "
        "again."
    )


def error_text(error: BaseException) -> str:
    """Return a library's message on one short line, without the secrets of an address."""
    text = printable(getattr(error, "strerror", None) or str(error))
    short = textwrap.shorten(scrub_of_library(text), _LONGEST_REASON)
    return short.rstrip(".") or type(error).__name__


def external_errors() -> tuple[type[Exception], ...]:
    """Return the errors of the system, and of the network libraries that are loaded."""
    loaded = (
        (sys.modules[module], name) for module, name in _REMOTE_ERRORS if module in sys.modules
    )
    return (OSError, *(getattr(module, name) for module, name in loaded))


def files_in_archive(
    raw: Callable[[], BinaryIO],
    name: str,
    format_flag: Format | None,
    *,
    content: Callable[[], str],
    state: Callable[[], Hashable],
) -> Files:
    """Find the files of a zip archive, which are read without being unpacked to disk."""
    with reading(name):
        archive = _open_archive(raw, name)
    members: dict[str, zipfile.ZipInfo] = {}
    replaced: list[Entry] = []
    for info in archive.infolist():
        if info.is_dir():
            continue
        _check_member(info, name)
        path = info.filename.replace("\\", "/")
        if path in members:  # as any unpacker has it, the later one is the newer
            replaced.append(Entry(path, None, "replaced by a later member"))
        members[path] = info

    def read(path: str, most: int) -> bytes:
        # Damage is an error when the whole member is read.
        with suppress(*_DAMAGE), _open_member(archive, members[path]) as member:
            return member.read(most)
        return b""

    entries = [Entry(path, info.file_size) for path, info in members.items()]
    entries = [*without_outputs(entries, read, ""), *replaced]
    selected, left_out, examples = select_files(entries, format_flag, f"--data {name!r}", read)
    once = cache(content)
    files = [
        File(
            display_name(f"{name}/{one.path}"),
            one.format,
            one.compression,
            raw=partial(_open_member, archive, members[one.path]),
            content=once,
            seeks=False,
            by_flag=format_flag is not None,
        )
        for one in selected
    ]
    return Files(files, state, several=True, left_out=left_out, left_out_names=examples)


def _open_archive(raw: Callable[[], BinaryIO], name: str) -> zipfile.ZipFile:
    """Open an archive, whose file is closed once nothing refers to the archive."""
    below = raw()
    try:
        refuse_placeholder(below.read(HEAD_BYTES), name)
        below.seek(0)
        archive = zipfile.ZipFile(below)
    except BaseException as error:
        below.close()
        if isinstance(error, ValueError | OverflowError):  # of sizes and dates that cannot be
            raise zipfile.BadZipFile(str(error)) from error
        raise
    weakref.finalize(archive, below.close)
    return archive


def _open_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> BinaryIO:
    try:
        member = archive.open(info)
    except NotImplementedError:
        raise
    except (RuntimeError, ValueError) as error:  # a damaged header can seem to ask for a password
        raise zipfile.BadZipFile(str(error)) from error
    return io.BufferedReader(cast("io.RawIOBase", member), _BUFFER_BYTES)


def _check_member(info: zipfile.ZipInfo, name: str) -> None:
    """Refuse a member with a path out of the archive, or with a password."""
    member = display_name(info.filename)
    if _ABSOLUTE.match(info.filename) or ".." in re.split(r"[/\\]", info.filename):
        raise DataError(
            f"{name}: the member {member!r} has a path that leads out of the archive, which a "
            "sound archive does not hold. Look into where it comes from."
        )
    if info.flag_bits & _ENCRYPTED:
        raise DataError(
            f"{name}: the member {member!r} is encrypted. Unpack the archive with its password "
            "and name the folder."
        )
