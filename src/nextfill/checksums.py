"""Checksums of the files that this program writes, so that damage is found before it is believed.

XXH3 with 128 bits, by Yann Collet's xxhash: it reads as fast as memory does. It finds what a
failing disk, a cut copy or a slip of a hand changes; it is no seal against somebody who changes a
file and its checksum alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import xxhash

ALGORITHM = "xxh3_128"
_PIECE_BYTES = 1 << 22


def file_checksum(path: Path) -> dict[str, Any]:
    """Return the size of a file in bytes, and its checksum in hexadecimal.

    Args:
        path: The file.

    Raises:
        OSError: If it cannot be read.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "empty")
        >>> path.touch()
        >>> file_checksum(path)
        {'bytes': 0, 'xxh3_128': '99aa06d3014798d86001c324468d497f'}
    """
    found, size = xxhash.xxh3_128(), 0
    with path.open("rb", buffering=0) as file:
        buffer = memoryview(bytearray(_PIECE_BYTES))
        while count := file.readinto(buffer):
            found.update(buffer[:count])
            size += count
    return {"bytes": size, ALGORITHM: found.hexdigest()}


def text_checksum(text: str) -> str:
    """Return the checksum of a text in UTF-8, in hexadecimal.

    Example:
        >>> text_checksum("")
        '99aa06d3014798d86001c324468d497f'
    """
    return xxhash.xxh3_128_hexdigest(text.encode("utf-8", "surrogatepass"))


def folder_checksums(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the checksum of every file of a folder, by its name there.

    Args:
        folder: The folder; those in it are gone into, by their names with ``/``.

    Raises:
        OSError: If one cannot be read.
    """
    return {name: file_checksum(folder / name) for name in sorted(_files(folder))}


def checksum_problem(folder: Path, recorded: Any) -> str | None:
    """Say which file of a folder is not as it was written, None if all are.

    Args:
        folder: The folder. Files that are not recorded are not looked at.
        recorded: What `folder_checksums` returned, read back from wherever it was kept.

    Returns:
        For example ``"model.safetensors has 12 bytes, not 14"``.
    """
    if not isinstance(recorded, Mapping) or not recorded:
        return "its checksums are not recorded"
    for name, expected in sorted(recorded.items()):
        if problem := file_problem(folder / name, expected):
            return f"{name} {problem}"
    return None


def file_problem(path: Path, expected: Any) -> str | None:
    """Say how a file differs from what was written, None if it does not.

    Args:
        path: The file.
        expected: What `file_checksum` returned, read back.

    Returns:
        For example ``"is missing"``.
    """
    if not isinstance(expected, Mapping) or not {"bytes", ALGORITHM} <= expected.keys():
        return "has no checksum"
    try:
        size = path.stat().st_size
        if size != expected["bytes"]:
            return f"has {size:,} bytes, not {expected['bytes']}"
        found = file_checksum(path)
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    if found != dict(expected):
        return f"holds other bytes than were written ({ALGORITHM} {found[ALGORITHM]})"
    return None


def _files(folder: Path) -> Iterable[str]:
    return (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
