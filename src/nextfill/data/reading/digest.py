"""What tells the content of a local file, and whether it has changed since."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

State = tuple[int, ...]


def content_hash(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal.

    Args:
        path: The file.

    Raises:
        OSError: If it cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def state_of(stat: os.stat_result) -> State:
    """Return what differs after a file was changed or replaced."""
    return stat.st_size, stat.st_mtime_ns, stat.st_ino
