"""Errors of the disk as a cache is written, told with what could not be written."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nextfill.core.errors import DataError

_FULL = {errno.ENOSPC: "the disk is full", errno.EDQUOT: "your share of the disk is used up"}


@contextmanager
def writing(stores: Path, what: str = "tokens") -> Iterator[None]:
    """Turn the disk's errors into a `DataError` that names what could not be written."""
    try:
        yield
    except OSError as error:
        full = _FULL.get(error.errno or 0)
        raise DataError(
            f"{what} cannot be written to {stores}: {full or error.strerror or error}; "
            f"{'make room or ' if full else ''}name another folder with --cache-dir"
        ) from error
