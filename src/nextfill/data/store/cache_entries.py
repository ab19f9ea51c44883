"""The entries of the cache: token stores, converted models, data, parts of tokenizers."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from nextfill.core.checksums import is_whole
from nextfill.core.errors import DataError
from nextfill.core.shared_cache import UNREADABLE, owner
from nextfill.core.shell_command import shell_word
from nextfill.data.records.files import INPUTS, live_name
from nextfill.data.store.store_integrity import FORMAT_VERSION, IN_PIECES
from nextfill.data.store.tokenizer_backend import BACKEND
from nextfill.data.store.tokenizer_backend import FOLDER as TOKENIZERS

CONVERTED = "converted"
"""Folder of the cache with models in the form of another library."""


@dataclass(frozen=True)
class CacheEntry:
    """A file or folder of the cache.

    Args:
        kind: ``tokens`` for a token store, ``model`` for one converted for CTranslate2, ``input``
            for data of a Python program, ``tokenizer`` for the part of a tokenizer that encodes,
            ``unfinished`` for a folder that a process is writing, or left when it ended.
        name: The name of the data, or the file's where it has none.
        used_s: The time of its last use, in seconds since 1970.
        documents: Documents of a token store; None for other kinds, and likewise the tokens.
    """

    kind: Literal["tokens", "model", "input", "tokenizer", "unfinished"]
    name: str
    path: Path
    size_bytes: int
    used_s: float
    documents: int | None = None
    tokens: int | None = None


def entries(cache: Path) -> list[CacheEntry]:
    """List the entries of the cache, the last used first."""
    backends = _backends(cache / TOKENIZERS)
    stores, models = _stores(cache / "stores"), _models(cache / CONVERTED)
    all_entries = [*stores, *models, *_inputs(cache / INPUTS), *backends]
    return sorted(all_entries, key=lambda entry: -entry.used_s)


def _list(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise DataError(
            f"{folder} may not be listed: {error.strerror}. It belongs to {owner(folder)}, who may "
            f"type: chmod g+rwx {shell_word(folder)}; or name another folder with --cache-dir"
        ) from error


def _stores(folder: Path) -> Iterator[CacheEntry]:
    for path in _list(folder):
        with suppress(FileNotFoundError):  # removed by another process meanwhile
            if not path.is_dir():
                continue
            size, used_s = _size_bytes(path), path.stat().st_mtime
            if ".tmp-" in path.name:
                yield CacheEntry("unfinished", path.name, path, size, used_s)
            else:
                yield _store(path, size, used_s)


def _store(path: Path, size: int, used_s: float) -> CacheEntry:
    """Describe a token store, even one that cannot be read."""
    file = path / "meta.json"
    try:
        meta = json.loads(file.read_bytes())
        # Of documents in pieces each record gave one.
        in_pieces = IN_PIECES in meta.get("key", {})
        documents = meta["counts"]["with_text"] if in_pieces else meta["totals"]["documents"]
        totals = documents, meta["totals"]["tokens"]
        name = str(meta.get("name") or "unnamed")
        if meta["format_version"] == FORMAT_VERSION and not is_whole(meta):
            return CacheEntry("tokens", "damaged", path, size, used_s)
        return CacheEntry("tokens", name, path, size, file.stat().st_mtime, *totals)
    except PermissionError:
        return CacheEntry("tokens", f"closed to others by {owner(path)}", path, size, used_s)
    except (*UNREADABLE, KeyError, TypeError, AttributeError):
        return CacheEntry("tokens", "damaged", path, size, used_s)


def _models(folder: Path) -> Iterator[CacheEntry]:
    for path in _list(folder):
        with suppress(FileNotFoundError):  # removed by another process meanwhile
            size, used_s = _size_bytes(path), path.stat().st_mtime
            if ".tmp-" in path.name:
                yield CacheEntry("unfinished", path.name, path, size, used_s)
                continue
            try:
                name = str(json.loads((path / "meta.json").read_bytes())["name"])
                used_s = (path / "meta.json").stat().st_mtime
            except (OSError, ValueError, KeyError, TypeError):
                name = "damaged"
            yield CacheEntry("model", name, path, size, used_s)


def _size_bytes(folder: Path) -> int:
    """Add up the sizes of the files in a folder, as far as they are readable."""
    size = 0
    for above, _, files in os.walk(folder):
        for name in files:
            with suppress(OSError):
                size += Path(above, name).stat().st_size
    return size


def _inputs(folder: Path) -> Iterator[CacheEntry]:
    for path in _list(folder):
        with suppress(FileNotFoundError):
            stat = path.stat()
            name = live_name(path)
            kind: Literal["input", "unfinished"] = "input" if name else "unfinished"
            yield CacheEntry(kind, name or path.name, path, stat.st_size, stat.st_mtime)


def _backends(folder: Path) -> Iterator[CacheEntry]:
    for path in _list(folder):
        if path.suffix == BACKEND:
            with suppress(FileNotFoundError):
                stat = path.stat()
                yield CacheEntry("tokenizer", path.stem[:12], path, stat.st_size, stat.st_mtime)
