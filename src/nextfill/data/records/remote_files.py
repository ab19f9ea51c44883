"""Files at addresses that fsspec knows: https, s3, gs, hf, memory and others."""

from __future__ import annotations

import hashlib
import io
import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, BinaryIO, cast

from nextfill.config import Format
from nextfill.core.errors import DataError
from nextfill.core.paths import is_address, is_glob
from nextfill.core.url_redaction import path_of, redacted, scrub
from nextfill.data.records.file_selection import Entry, select_files
from nextfill.data.records.files import File, Files, display_name
from nextfill.data.records.formats.compression import (
    error_text,
    files_in_archive,
    reading,
    temporary_copy,
)
from nextfill.data.records.formats.file_formats import ARCHIVE, single_format
from nextfill.data.records.output_folders import without_outputs
from nextfill.data.records.socket_traffic import noted_session, noted_socket

WEB = ("http", "https")
GOOGLE = ("gs", "gcs")
NOTED = (*WEB, "s3", "s3a")
"""Kinds of addresses whose traffic is noted byte for byte."""

CONNECT_S = 10.0
READ_S = 25.0
S3_READ_S = 12.0
GOOGLE_READ_S = 3.0
"""gcsfs tries six times, and waits for 34 seconds in all between them."""

S3_TRIES = 2
"""s3fs tries five times, each of which botocore tries thrice: minutes, where nothing answers.

So many times twice, and 12 seconds each, are 50 seconds.
"""

_KEPT_S = 12.0
"""Seconds that a connection to S3 is kept for the next request, aiobotocore's own."""

_BUFFER_BYTES = 1 << 20
_GONE = (404, 410)
_EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs"}
_MARKS = ("sha256", "md5Hash", "md5", "Content-MD5", "blob_id", "ETag", "etag", "crc32c")
_TIMES = ("mtime", "LastModified", "last_modified", "updated", "Last-Modified", "created")


def files_at(address: str, format_flag: Format | None) -> Files:
    """Find the files at an address: one, a folder's where there are folders, or a glob's."""
    name = display_name(redacted(address))
    if "::" in address:
        raise DataError(
            f"--data {name!r}: addresses joined with :: are not read; name the file or the "
            "archive itself."
        )
    system, path = file_system(address, name)
    address_path = path_of(address)
    wild = "*" in address_path if _is_web(address) else is_glob(address_path)
    with reaching(name):
        listing = _listing(system, path, wild=wild, web=_is_web(address))
    if listing is not None:
        return _several(system, listing, path if not wild else "", name, format_flag)
    state = partial(_mark, system, path)
    if address_path.lower().endswith(ARCHIVE):
        raw = partial(_open_for_seeking, system, path)
        content = partial(_content, system, path, name)
        return files_in_archive(raw, name, format_flag, content=content, state=state)
    file_format, compression = single_format(address_path, name, format_flag, "unpack it")
    by_flag = format_flag is not None
    return Files([_file(system, path, name, file_format, compression, by_flag=by_flag)], state)


def open_address(address: str) -> BinaryIO:
    """Open the single file at an address."""
    name = display_name(redacted(address))
    system, path = file_system(address, name)
    with reaching(name):
        return _open(system, path)


def _scheme(address: str) -> str:
    return address.partition("://")[0].lower()


def _is_web(address: str) -> bool:
    return _scheme(address) in WEB


def file_system(address: str, name: str, flag: str = "--data") -> tuple[Any, str]:
    """Return the file system of an address, which ``flag`` named, and the path on it."""
    from fsspec.core import url_to_fs

    scheme = _scheme(address)
    try:
        with reaching(name, flag):
            system, path = url_to_fs(address, **_timeouts(scheme, flag))
    except ImportError as error:
        extra = _EXTRAS.get(scheme)
        how = f"pip install 'nextfill[{extra}]'" if extra else scrub(str(error))
        raise DataError(
            f"{flag} {name!r}: {scheme}:// needs a package that is not here. Type: {how}"
        ) from None
    except TypeError as error:  # of a system that an address alone does not tell enough
        raise _unusable(name, flag, error) from None
    if scheme in ("s3", "s3a"):
        system.retries = S3_TRIES
    if scheme in GOOGLE:  # what it logs of a last try, with a traceback, is in the error
        logging.getLogger("gcsfs").addHandler(logging.NullHandler())
    return system, path


def _timeouts(scheme: str, flag: str) -> dict[str, Any]:
    """Return time-outs as options of a file system, whose own may be none at all.

    Who writes has a limit of silence of its own, and a server may need a while to store a piece.
    """
    if scheme in (*WEB, *GOOGLE):
        try:
            import aiohttp
        except ImportError:
            return {}
        # A number would be the limit of a whole answer, and cut a large file short.
        read_s = GOOGLE_READ_S if scheme in GOOGLE and flag == "--data" else READ_S
        connect_s = min(CONNECT_S, read_s)
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=connect_s, sock_read=read_s)
        if scheme in GOOGLE:
            return {"requests_timeout": timeout}
        settings = {"timeout": timeout, "trust_env": True}
        return {"client_kwargs": settings, "get_client": noted_session}
    if scheme in ("s3", "s3a"):
        read_s = S3_READ_S if flag == "--data" else READ_S
        times = {"connect_timeout": CONNECT_S, "read_timeout": read_s}
        sockets = {"socket_factory": noted_socket, "keepalive_timeout": _KEPT_S}
        limits = {"retries": {"total_max_attempts": 2}, "connector_args": sockets}
        return {"config_kwargs": {**times, **limits}}
    return {}


@contextmanager
def reaching(name: str, flag: str = "--data") -> Iterator[None]:
    """Turn the errors of a file system into a `DataError`."""
    with reading(name):
        try:
            yield
        except FileNotFoundError as error:
            # The library says so of anything that kept the file from being asked for.
            cause = error.__cause__
            if isinstance(cause, ValueError):
                raise _unusable(name, flag, cause) from None
            if isinstance(cause, Exception) and getattr(cause, "status", None) not in _GONE:
                raise cause from None
            raise DataError(f"{flag} {name!r}: there is no such file.") from None
        except (ValueError, NotImplementedError) as error:
            raise _unusable(name, flag, error) from None


def _unusable(name: str, flag: str, error: Exception) -> DataError:
    return DataError(f"{flag} {name!r} cannot be used: {error_text(error)}.")


def _listing(system: Any, path: str, *, wild: bool, web: bool) -> Mapping[str, Any] | None:
    """Return the facts about several files by their paths, or None for a single file."""
    if wild:
        listing = system.glob(path, detail=True)
    else:
        is_folder = system.info(path)["type"] == "directory"  # or an error: nothing is there
        if web or not is_folder:
            return None
        listing = system.find(path, detail=True)
    return {key: info for key, info in listing.items() if info.get("type") != "directory"}


def _several(
    system: Any, listing: Mapping[str, Any], root: str, name: str, format_flag: Format | None
) -> Files:
    """Select the files to read from those of a folder or a glob."""
    below = root.rstrip("/") + "/" if root else ""
    entries = [Entry(key.removeprefix(below), info.get("size")) for key, info in listing.items()]

    def read(path: str, most: int) -> bytes:
        with reaching(name), _open(system, below + path) as stream:
            return stream.read(most)

    entries = without_outputs(entries, read, "")
    selected, left_out, examples = select_files(entries, format_flag, f"--data {name!r}")
    paths, by_flag = [below + one.path for one in selected], format_flag is not None
    files = [
        _file(system, path, _address(path, name), one.format, one.compression, by_flag=by_flag)
        for path, one in zip(paths, selected, strict=True)
    ]

    def state() -> tuple[str, ...]:
        system.invalidate_cache()
        return tuple(_mark(system, path) for path in paths)

    return Files(files, state, several=True, left_out=left_out, left_out_names=examples)


def _address(path: str, source: str) -> str:
    """Return, for messages, the address of a path on the file system of a source."""
    return display_name(
        redacted(path) if is_address(path) else f"{source.partition('://')[0]}://{path.lstrip('/')}"
    )


def _file(
    system: Any, path: str, name: str, file_format: str, compression: str, *, by_flag: bool
) -> File:
    return File(
        name,
        file_format,
        compression,
        raw=partial(_open, system, path),
        content=partial(_content, system, path, name),
        seeks=not _streams(system),
        by_flag=by_flag,
    )


def _streams(system: Any) -> bool:
    """Check for the web, which is read from end to end.

    Many servers answer no request for a part of a file.
    """
    return "http" in system.protocol


def _open(system: Any, path: str) -> BinaryIO:
    stream = system.open(path, "rb", **({"block_size": 0} if _streams(system) else {}))
    return cast("BinaryIO", io.BufferedReader(stream, _BUFFER_BYTES))


def _open_for_seeking(system: Any, path: str) -> BinaryIO:
    """Open a file for random access, by way of a temporary file where it has none."""
    stream = _open(system, path)
    if not _streams(system):
        return stream
    with stream:
        return temporary_copy(stream)


def _content(system: Any, path: str, name: str) -> str:
    """Return an identifier of a file's content: its place's mark of it, else a hash."""
    if mark := _mark(system, path):
        return mark
    with reading(name), _open(system, path) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()  # type: ignore[arg-type]


def _mark(system: Any, path: str) -> str:
    """Return a file's checksum or time from its place, or an empty string if there is neither."""
    info = system.info(path)
    for key in _MARKS:
        if info.get(key):
            return json.dumps([redacted(path), key, str(info[key]), info.get("size")])
    time = next((str(info[key]) for key in _TIMES if info.get(key)), None)
    return json.dumps([redacted(path), time, info.get("size")]) if time else ""
