"""A file for live data, named by what it holds: ``inputs/3-texts.<sha256>.jsonl`` in the cache.

A run's ``config.toml`` so names data that can be read again, and everything behind it (resuming,
evaluating the run, the ledger) is the same as for a file of the user's own. Texts and dicts become
lines of JSON, which keeps apart what is null and what is missing; what lies in columns becomes
Parquet, which keeps their types.
"""

from __future__ import annotations

import hashlib
import io
import logging
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager, suppress
from pathlib import Path, PurePath
from typing import Any

from nextfill.core.errors import ConfigError, DataError
from nextfill.core.shared_cache import make_folder, open_to_group
from nextfill.data.records.data_frames import any_value, is_lazy, tables_of, write_tables
from nextfill.data.records.files import content_hash, remembering
from nextfill.data.records.json_lines import write_lines

logger = logging.getLogger("nextfill")

FOLDER = "inputs"
_NAME = re.compile(r"(\d+)-(texts|records|rows)\.[0-9a-f]{64}\.(?:jsonl|parquet)")
_CONTENT = re.compile(
    r"(?:\d+-(?:texts|records|rows)|standard-input|download)\.([0-9a-f]{64})(?:\.\w+)+"
)
_LONGEST_FILE_NAME = 255
_STALE_S = 24 * 3600.0


def write_live(
    value: Any,
    cache: Path,
    keyword: str = "data",
    on_progress: Callable[[str, int, int], None] = lambda label, done, total: None,
) -> Path:
    """Write data to a file that is named by its content; an iterator is used up as it is written.

    Example:
        >>> import tempfile
        >>> write_live(["one", "two"], Path(tempfile.mkdtemp())).name[:8]
        '2-texts.'
    """
    _check_kind(keyword, value)
    folder = cache / FOLDER
    temporary = folder / f".{os.getpid()}-{time.monotonic_ns()}.tmp"
    with writing(folder):
        make_folder(folder)
        sweep(folder)

    def tell() -> None:
        on_progress(f"writing down {keyword}", file.tell(), 0)

    def write(content: bytes) -> None:
        with writing(folder):  # and not around the iterator, whose errors are its own
            file.write(content)
        tell()

    columns = tables_of(keyword, value)
    try:
        with writing(folder):
            file = temporary.open("xb")
        with file:
            if columns is None:
                number, noun = write_lines(_records(value), keyword, write)
            elif columns.rows is not None:
                number, noun = write_lines(columns.rows, keyword, write, any_value)[0], columns.noun
            else:
                with writing(folder):
                    number = write_tables(columns.tables, keyword, file, tell)
                noun = columns.noun
            with writing(folder):
                file.flush()
                os.fsync(file.fileno())
        if number == 0:
            raise DataError(f"{keyword}: found {a_kind(value)} without a record in it.")
        with writing(folder):
            is_parquet = columns is not None and columns.rows is None
            return _put_in_place(temporary, f"{number}-{noun}", is_parquet)
    finally:
        temporary.unlink(missing_ok=True)


def _records(value: Any) -> Iterable[object]:
    """Go through a value; a data set of PyTorch's has a length and items, and may have no more."""
    return value if hasattr(value, "__iter__") else (value[n] for n in range(len(value)))


def _put_in_place(temporary: Path, what: str, is_parquet: bool) -> Path:
    with temporary.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    suffix = "parquet" if is_parquet else "jsonl"
    return put_by_content(temporary, f"{what}.{digest}.{suffix}", digest)


def put_by_content(temporary: Path, name: str, digest: str) -> Path:
    """Put a file that was just written in the place that its content names."""
    final = temporary.with_name(name)
    there = os.path.lexists(final)
    with suppress(OSError), remembering(final.parent.parent, verify=False):
        if there and content_hash(final) == digest:
            return final  # what cannot be read is as good as damaged
    temporary.replace(final)
    open_to_group(final)
    if there:
        logger.warning("%s was damaged, and is written again", final)
    return final


def written_content(path: Path) -> str | None:
    """Return the SHA-256 of what was written to a file of the cache, None for any other path.

    Example:
        >>> written_content(Path("cache/inputs") / f"3-texts.{64 * 'a'}.jsonl") == 64 * "a"
        True
    """
    match = _CONTENT.fullmatch(path.name) if path.parent.name == FOLDER else None
    return match[1] if match else None


def live_name(path: Path) -> str | None:
    """Return what messages call a file of live data, or None for any other path.

    Example:
        >>> live_name(Path("cache/inputs") / f"3-texts.{64 * 'a'}.jsonl")
        '3 texts from Python'
    """
    match = _NAME.fullmatch(path.name) if path.parent.name == FOLDER else None
    if match is None:
        return None
    number, noun = int(match[1]), match[2]
    return f"{number:,} {noun if number > 1 else noun.removesuffix('s')} from Python"


def split_hint(keys: Sequence[object]) -> str:
    """Say what to pass instead of a dict of splits or columns with these keys."""
    return (
        f"Pass one split of a data set, such as data=dataset[{str(next(iter(keys), 'train'))!r}]; "
        "pass columns as a data frame, or row by row as a list of dicts."
    )


def a_kind(value: object) -> str:
    """Return the name of a value's type with its article.

    Example:
        >>> a_kind([]), a_kind(3)
        ('a list', 'an int')
    """
    name = type(value).__name__
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"


def _check_kind(keyword: str, value: object) -> None:
    """Refuse what cannot be gone through, or would be gone through as nobody means it."""
    found = f"{keyword}: found {a_kind(value)}"
    if isinstance(value, Mapping):
        keys = list(value)
        raise ConfigError([f"{found} of {', '.join(map(str, keys[:8]))}. {split_hint(keys)}"])
    if isinstance(value, Set):
        raise ConfigError([f"{found}, which has no order to repeat: pass sorted({keyword})."])
    if isinstance(value, io.IOBase):
        raise ConfigError([f"{found}: pass the path of the file."])
    if isinstance(value, type) or (callable(value) and not hasattr(value, "__iter__")):
        raise ConfigError(
            [f"{found}: pass what it returns, {keyword}={getattr(value, '__name__', keyword)}()."]
        )
    ways = (hasattr(value, way) for way in ("__iter__", "__len__", "__arrow_c_stream__"))
    if is_lazy(value):
        return
    if isinstance(value, bytes | bytearray) or not any(ways):
        raise ConfigError(
            [
                f"{found}; expected a path, a Hub id, builtin:NAME, a list or an iterator of texts "
                "or dicts, a datasets.Dataset, or a data frame."
            ]
        )
    if isinstance(value, list | tuple) and value and all(map(_is_file, value)):
        raise ConfigError([f"{found} of file names: pass one path, or the texts in the files."])


def _is_file(value: object) -> bool:
    if not isinstance(value, str | PurePath) or len(str(value)) > _LONGEST_FILE_NAME:
        return False
    with suppress(OSError, ValueError):
        return Path(value).is_file()
    return False


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Say that a folder of the cache cannot be written, and what to do."""
    try:
        yield
    except OSError as error:
        raise DataError(
            f"{folder} cannot be written: {error.strerror or error}. Make room there, or name "
            "another folder with cache_dir."
        ) from error


def sweep(folder: Path) -> None:
    """Remove what killed processes left behind, a day after they last wrote to it."""
    for path in folder.glob(".*.tmp"):
        with suppress(OSError):  # its owner has just renamed it, or keeps it
            if time.time() - path.stat().st_mtime > _STALE_S:
                path.unlink()
