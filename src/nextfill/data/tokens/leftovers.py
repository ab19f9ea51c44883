"""What processes that were killed left behind in the cache, and when it goes."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from nextfill.data.tokens.locks import is_held

STALE_S = 24 * 3600.0
"""So long after the last change nobody is at work on it, even where no lock can tell."""

_STARTING_S = 60.0
"""So long a process may take from making a folder to holding it."""

_ASIDE = (".tmp-damaged-", ".tmp-removed-")
"""Names of stores that were whole once, which others may be reading."""

_FILES = ("inputs", "digests", "tokenizers", "stores/*", "stores/*/shard-*")
"""Folders in which files are written beside their places."""


def sweep(cache: Path) -> None:
    """Remove unfinished stores whose processes are gone, and what was put aside a day ago.

    Args:
        cache: The cache folder. What another user keeps to himself stays.
    """
    for path in _left(cache):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with suppress(OSError):
                path.unlink()


def is_left(folder: Path) -> bool:
    """Say whether nobody is at work on an unfinished store, or one that was put aside.

    Args:
        folder: In ``stores``, with ``.tmp-`` in its name.
    """
    try:
        age_s = time.time() - folder.stat().st_mtime
    except OSError:  # its owner has just renamed it
        return False
    is_aside = any(mark in folder.name for mark in _ASIDE)
    held = None if is_aside else is_held(folder)
    return age_s > STALE_S if held is None else not held and age_s > _STARTING_S


def _left(cache: Path) -> Iterator[Path]:
    for folder in cache.glob("stores/*.tmp-*"):
        if is_left(folder):
            yield folder
    for place in _FILES:
        for file in cache.glob(f"{place}/.*.tmp"):
            with suppress(OSError):
                if time.time() - file.stat().st_mtime > STALE_S:
                    yield file
