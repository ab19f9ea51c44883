"""Lines of a run's logs, each an object with a checksum of its text and of the run's settings."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nextfill.core.checksums import CHECKSUM, line_checksum
from nextfill.core.errors import RunError
from nextfill.core.json_text import to_json

_BEFORE_CHECKSUM = f', "{CHECKSUM}": "'
_CHECKED_END = len(_BEFORE_CHECKSUM) + 16 + len('"}')


def append_line(path: Path, record: Mapping[str, Any], seed: str) -> None:
    """Add an object to a log, with its checksum; nothing of the log is read for it."""
    text = to_json(record)
    checked = f'{text[:-1]}{_BEFORE_CHECKSUM}{line_checksum(seed, text)}"}}\n'
    with path.open("a", encoding="utf-8") as file:
        file.write(checked)


def read_lines(path: Path, seed: str) -> list[dict[str, Any]]:
    """Return the objects of a log; logs of early runs, which have no checksums, are not checked."""
    lines = _complete_lines(path)
    checked = any(_BEFORE_CHECKSUM.encode() in line[-_CHECKED_END:] for line in lines)
    return [
        _read_line(line, f"{path}:{number}", seed if checked else None)
        for number, line in enumerate(lines, start=1)
    ]


def _complete_lines(path: Path) -> list[bytes]:
    """Return the lines of a log without one that a kill cut short, which contains no zeros."""
    if not path.is_file():
        return []
    *lines, rest = path.read_bytes().split(b"\n")
    return [*lines, rest] if b"\0" in rest else lines


def _read_line(line: bytes, place: str, seed: str | None) -> dict[str, Any]:
    """Return the object of a line of a log, unchecked where there is no seed."""
    try:
        record = json.loads(line)
        if not isinstance(record, dict):
            raise RunError(f"{place} is damaged: found {line[:80]!r}, expected an object.")
        if seed is not None:
            text = line[:-_CHECKED_END].decode("utf-8") + "}"
            if record.pop(CHECKSUM, None) != line_checksum(seed, text):
                raise RunError(f"{place} is damaged: its checksum is another.")
    except (ValueError, RecursionError) as error:
        raise RunError(f"{place} is damaged: {error}.") from error
    return record


def undamaged_size(path: Path, seed: str) -> int:
    """Return the size in bytes of a log up to its first damaged line."""
    size = 0
    for line in _complete_lines(path):
        try:
            _read_line(line, "", seed)
        except RunError:
            break
        size += len(line) + 1
    return size
