"""Files at addresses that fsspec knows: https, s3, gs, hf, memory and others."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, BinaryIO, cast

from nextfill.config import Format
from nextfill.core.errors import DataError
from nextfill.core.paths import is_address, is_glob
from nextfill.core.url_redaction import path_of, redacted, scrub
from nextfill.data.records.decompression import reading, said
from nextfill.data.records.file_formats import ARCHIVE, TAR, format_by_name, readable
from nextfill.data.records.file_selection import Entry, choose, without_outputs
from nextfill.data.records.files import File, Files, shown
from nextfill.data.records.zip_archives import files_in_archive

WEB = ("http", "https")
CONNECT_S = 10.0
READ_S = 30.0
_BUFFER_BYTES = 1 << 20
_GONE = (404, 410)
_EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs"}
_MARKS = ("sha256", "md5Hash", "md5", "Content-MD5", "blob_id", "ETag", "etag", "crc32c")
_TIMES = ("mtime", "LastModified", "last_modified", "updated", "Last-Modified", "created")


def files_at(address: str, asked: Format | None) -> Files:
    """Find the files at an address: one, a folder's where there are folders, or a glob's."""
    name = shown(redacted(address))
    if "::" in address:
        raise DataError(
            f"--data {name!r}: addresses joined with :: are not read; name the file or the "
            "archive itself."
        )
    scheme = address.partition("://")[0].lower()
    system, path = _system(address, scheme, name)
    wild = "*" in path_of(address) if scheme in WEB else is_glob(path_of(address))
    with _reaching(name):
        found = _listing(system, path, wild=wild, web=scheme in WEB)
    if found is not None:
        return _several(system, found, path if not wild else "", name, asked)
    if path_of(address).lower().endswith(ARCHIVE):
        raw = partial(_open_for_seeking, system, path)
        content = partial(_content, system, path, name)
        state = partial(_mark, system, path)
        return files_in_archive(raw, name, asked, content=content, state=state)
    known, compression = format_by_name(path_of(address))
    if TAR.search(path_of(address)):
        raise DataError(f"--data {name!r} is an archive of a kind that is not read: unpack it.")
    if asked is None and known is None:
        raise DataError(f"--data {name!r}: cannot tell the format by the name. {readable()}")
    is_asked = asked is not None
    file = _file(system, path, name, asked or str(known), compression, asked=is_asked)
    return Files([file], partial(_mark, system, path))


def open_address(address: str) -> BinaryIO:
    """Open the single file at an address."""
    name = shown(redacted(address))
    system, path = _system(address, address.partition("://")[0].lower(), name)
    with _reaching(name):
        return _open(system, path)


def _system(address: str, scheme: str, name: str) -> tuple[Any, str]:
    """Return the file system of an address, and the path on it."""
    from fsspec.core import url_to_fs

    try:
        with _reaching(name):
            system, path = url_to_fs(address, **_options(scheme))
    except ImportError as error:
        extra = _EXTRAS.get(scheme)
        how = f"pip install 'nextfill[{extra}]'" if extra else scrub(str(error))
        raise DataError(
            f"--data {name!r}: {scheme}:// needs a package that is not here. Type: {how}"
        ) from None
    except TypeError as error:  # of a system that an address alone does not tell enough
        raise _unusable(name, error) from None
    return system, path


def _options(scheme: str) -> dict[str, Any]:
    """Return time-outs for a file system: none should make anybody wait for ever."""
    if scheme in WEB:
        try:
            import aiohttp
        except ImportError:
            return {}
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=READ_S)
        return {"client_kwargs": {"timeout": timeout, "trust_env": True}}
    if scheme in ("s3", "s3a"):
        times = {"connect_timeout": CONNECT_S, "read_timeout": READ_S}
        return {"config_kwargs": {**times, "retries": {"max_attempts": 2}}}
    return {"requests_timeout": READ_S} if scheme in ("gs", "gcs") else {}


def _status(error: Exception) -> int | None:
    return getattr(error, "status", None)


@contextmanager
def _reaching(name: str) -> Iterator[None]:
    """Say what keeps an address from being reached."""
    with reading(name):
        try:
            yield
        except FileNotFoundError as error:
            # What kept it from being asked for, where that is the library's word for anything.
            cause = error.__cause__
            if isinstance(cause, ValueError):
                raise _unusable(name, cause) from None
            if isinstance(cause, Exception) and _status(cause) not in _GONE:
                raise cause from None
            raise DataError(f"--data {name!r}: there is no such file.") from None
        except (ValueError, NotImplementedError) as error:
            raise _unusable(name, error) from None


def _unusable(name: str, error: Exception) -> DataError:
    return DataError(f"--data {name!r} cannot be used: {said(error)}.")


def _listing(system: Any, path: str, *, wild: bool, web: bool) -> Mapping[str, Any] | None:
    """Return what is known of several files by their paths, or None for a single file."""
    if wild:
        found = system.glob(path, detail=True)
    elif web or system.info(path)["type"] != "directory":
        if not web:
            return None
        system.info(path)  # whether it is there at all
        return None
    else:
        found = system.find(path, detail=True)
    return {key: info for key, info in found.items() if info.get("type") != "directory"}


def _several(
    system: Any, found: Mapping[str, Any], root: str, name: str, asked: Format | None
) -> Files:
    below = root.rstrip("/") + "/" if root else ""
    there = [Entry(key.removeprefix(below), info.get("size")) for key, info in found.items()]

    def begin(path: str, most: int) -> bytes:
        with _reaching(name), _open(system, below + path) as stream:
            return stream.read(most)

    entries = without_outputs(there, begin, "")
    chosen, left_out = choose(entries, asked, f"--data {name!r}")
    files = [
        _file(
            system,
            below + one.entry.path,
            _address(below + one.entry.path, name),
            one.format,
            one.compression,
            asked=asked is not None,
        )
        for one in chosen
    ]
    paths = [below + one.entry.path for one in chosen]

    def state() -> tuple[str, ...]:
        system.invalidate_cache()
        return tuple(_mark(system, path) for path in paths)

    return Files(files, state, several=True, left_out=left_out)


def _address(path: str, named: str) -> str:
    """Return the address of a path on a file system, of which another is named."""
    if is_address(path):
        return shown(redacted(path))
    return shown(f"{named.partition('://')[0]}://{path.lstrip('/')}")


def _file(system: Any, path: str, name: str, known: str, compression: str, *, asked: bool) -> File:
    return File(
        name,
        known,
        compression,
        raw=partial(_open, system, path),
        content=partial(_content, system, path, name),
        seeks=not _is_web(system),
        asked=asked,
    )


def _is_web(system: Any) -> bool:
    return "http" in system.protocol


def _open(system: Any, path: str) -> BinaryIO:
    # Of the web from end to end: many servers answer no request for a part of a file.
    stream = system.open(path, "rb", **({"block_size": 0} if _is_web(system) else {}))
    return cast("BinaryIO", io.BufferedReader(stream, _BUFFER_BYTES))


def _open_for_seeking(system: Any, path: str) -> BinaryIO:
    """Open a file for random access, by way of a temporary file where it has none."""
    stream = _open(system, path)
    if not _is_web(system):
        return stream
    copy = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
    with stream:
        shutil.copyfileobj(stream, copy, _BUFFER_BYTES)
    copy.seek(0)
    return cast("BinaryIO", copy)


def _content(system: Any, path: str, name: str) -> str:
    """Return what identifies a file's content: what its place says of it, else a hash of it."""
    if mark := _mark(system, path):
        return mark
    with reading(name), _open(system, path) as stream:
        digest = hashlib.sha256()
        while piece := stream.read(_BUFFER_BYTES):
            digest.update(piece)
        return digest.hexdigest()


def _mark(system: Any, path: str) -> str:
    """Return what a file's place says of its content, or an empty string if that is too little."""
    info = system.info(path)
    for key in _MARKS:
        if info.get(key):
            return json.dumps([redacted(path), key, str(info[key]), info.get("size")])
    time = next((str(info[key]) for key in _TIMES if info.get(key)), None)
    return json.dumps([redacted(path), time, info.get("size")]) if time else ""
