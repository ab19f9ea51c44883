"""Checksums of the files that this program writes, so that damage is found before it is believed.

XXH3 with 128 bits, by Yann Collet's xxhash: it reads as fast as memory does. It finds what a
failing disk, a cut copy or a slip of a hand changes; it is no seal against somebody who changes a
file and its checksum alike.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import xxhash

ALGORITHM = "xxh3_128"
NO_BYTES = {"bytes": 0, ALGORITHM: xxhash.xxh3_128_hexdigest(b"")}
"""What `file_checksum` returns of an empty file."""
CHECKSUM = "checksum"
"""The name under which JSON values hold a checksum of the others."""

_PIECE_BYTES = 1 << 22


def file_checksum(path: Path, size: int | None = None) -> dict[str, Any]:
    """Return the size of a file in bytes, and its checksum in hexadecimal.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "empty")
        >>> path.touch()
        >>> file_checksum(path)
        {'bytes': 0, 'xxh3_128': '99aa06d3014798d86001c324468d497f'}
    """
    found, done = xxhash.xxh3_128(), 0
    with path.open("rb", buffering=0) as file:
        buffer = memoryview(bytearray(_PIECE_BYTES))
        while size is None or done < size:
            wanted = _PIECE_BYTES if size is None else min(_PIECE_BYTES, size - done)
            count = file.readinto(buffer[:wanted])
            if not count:
                break
            found.update(buffer[:count])
            done += count
    return {"bytes": done, ALGORITHM: found.hexdigest()}


def text_checksum(text: str) -> str:
    """Return the checksum of a text in UTF-8, in hexadecimal.

    Example:
        >>> text_checksum("")
        '99aa06d3014798d86001c324468d497f'
    """
    return xxhash.xxh3_128_hexdigest(text.encode("utf-8", "surrogatepass"))


def line_checksum(seed: str, text: str) -> str:
    """Return a short checksum of a line, in 16 hexadecimal digits.

    Example:
        >>> line_checksum("", "") != line_checksum("a", "")
        True
    """
    return xxhash.xxh3_64_hexdigest(f"{seed}\n{text}".encode())


def folder_checksums(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the checksum of every file of a folder, by its name there."""
    return {name: file_checksum(folder / name) for name in sorted(_files(folder))}


def file_problem(path: Path, expected: Any) -> str | None:
    """Say how a file differs from what was written, None if it does not."""
    return _problem(path, expected, grows=False)


def prefix_problem(path: Path, expected: Any) -> str | None:
    """Say how a file that has grown differs at its beginning from what was written there."""
    return _problem(path, expected, grows=True)


def _problem(path: Path, expected: Any, *, grows: bool) -> str | None:
    if not isinstance(expected, Mapping) or not {"bytes", ALGORITHM} <= expected.keys():
        return "has no checksum"
    written = expected["bytes"]
    try:
        size = path.stat().st_size
        if size < written or (size > written and not grows):
            return f"has {size:,} bytes, not {written:,}"
        found = file_checksum(path, written)
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    if found != dict(expected):
        return f"holds other bytes than were written ({ALGORITHM} {found[ALGORITHM]})"
    return None


def _files(folder: Path) -> Iterable[str]:
    return (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def sealed(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return JSON values with their checksum among them.

    Example:
        >>> is_whole(sealed({"tokens": 3})), is_whole({**sealed({"tokens": 3}), "tokens": 4})
        (True, False)
    """
    return {**values, CHECKSUM: text_checksum(canonical_json(dict(values)))}


def is_whole(values: object) -> bool:
    """Say whether values are as they were when `sealed` added their checksum."""
    if not isinstance(values, dict):
        return False
    rest = {name: value for name, value in values.items() if name != CHECKSUM}
    return bool(values.get(CHECKSUM) == text_checksum(canonical_json(rest)))


def canonical_json(value: object) -> str:
    """Return the one way to write JSON values down.

    Example:
        >>> canonical_json({"b": 1, "a": [2]})
        '{"a":[2],"b":1}'
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
