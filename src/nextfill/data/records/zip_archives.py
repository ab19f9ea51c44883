"""Zip archives: members are read like the files of a folder, without being unpacked to one."""

from __future__ import annotations

import io
import re
import weakref
import zipfile
import zlib
from collections.abc import Callable, Hashable
from contextlib import suppress
from functools import cache, partial
from typing import BinaryIO, cast

from nextfill.config import Format
from nextfill.core.errors import DataError
from nextfill.data.records.decompression import reading
from nextfill.data.records.file_formats import HEAD_BYTES, check_place
from nextfill.data.records.file_selection import Entry, choose, without_outputs
from nextfill.data.records.files import File, Files, shown

_ABSOLUTE = re.compile(r"[/\\]|[A-Za-z]:")
_ENCRYPTED = 0x1
_DAMAGE = (zipfile.BadZipFile, NotImplementedError, zlib.error, EOFError, OSError)
_BUFFER_BYTES = 1 << 17


def files_in_archive(
    raw: Callable[[], BinaryIO],
    name: str,
    asked: Format | None,
    *,
    content: Callable[[], str],
    state: Callable[[], Hashable],
) -> Files:
    """Find the files of a zip archive."""
    with reading(name):
        archive = _open(raw, name)
    members: dict[str, zipfile.ZipInfo] = {}
    replaced: list[Entry] = []
    for info in archive.infolist():
        if info.is_dir():
            continue
        _check(info, name)
        path = info.filename.replace("\\", "/")
        if path in members:  # as any unpacker has it, the later one is the newer
            replaced.append(Entry(path, None, "replaced by a later member"))
        members[path] = info
    found = [Entry(path, info.file_size) for path, info in members.items()]

    def begin(path: str, most: int) -> bytes:
        # What cannot be read is told when it is read.
        with suppress(*_DAMAGE), _member(archive, members[path]) as member:
            return member.read(most)
        return b""

    def head(entry: Entry) -> bytes:
        return begin(entry.path, HEAD_BYTES)

    entries = without_outputs(found, begin, "")
    chosen, left_out = choose([*entries, *replaced], asked, f"--data {name!r}", head)
    once = cache(content)
    files = [
        File(
            shown(f"{name}/{one.entry.path}"),
            one.format,
            one.compression,
            raw=partial(_member, archive, members[one.entry.path]),
            content=once,
            seeks=False,
            asked=asked is not None,
        )
        for one in chosen
    ]
    return Files(files, state, several=True, left_out=left_out)


def _open(raw: Callable[[], BinaryIO], name: str) -> zipfile.ZipFile:
    """Open an archive that stays open, for its list of members, until nobody needs it."""
    below = raw()
    try:
        check_place(below.read(HEAD_BYTES), name)
        below.seek(0)
        archive = zipfile.ZipFile(below)
    except (ValueError, OverflowError) as error:  # of sizes and dates that cannot be
        below.close()
        raise zipfile.BadZipFile(str(error)) from error
    except BaseException:
        below.close()
        raise
    weakref.finalize(archive, below.close)
    return archive


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> BinaryIO:
    try:
        member = archive.open(info)
    except (RuntimeError, ValueError) as error:  # what a damaged header seems to ask for
        if isinstance(error, NotImplementedError):
            raise
        raise zipfile.BadZipFile(str(error)) from error
    return io.BufferedReader(cast("io.RawIOBase", member), _BUFFER_BYTES)


def _check(info: zipfile.ZipInfo, name: str) -> None:
    """Refuse a member that nobody packs in good faith, or that takes a password."""
    member = shown(info.filename)
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
