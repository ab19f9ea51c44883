"""Files in a cache for data that cannot be read twice by their name: ``inputs/`` and its names.

Data of a Python program (``inputs/3-texts.<sha256>.jsonl``), standard input, and the file at an
address that holds a password or a signature. A run's ``config.toml`` names the file in the cache,
so that everything behind it (resuming, evaluating the run, the ledger) is the same as for a file of
the user's own, and no secret is written anywhere. Texts and dicts become lines of JSON, which keeps
null and missing apart; columns become Parquet, which keeps their types.
"""

from __future__ import annotations

import hashlib
import logging
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, BinaryIO

from nextfill.config import DataConfig, EvaluationConfig, Format
from nextfill.config.options import Assignment
from nextfill.core.errors import ConfigError, DataError
from nextfill.core.paths import STANDARD_INPUT, is_address, is_glob
from nextfill.core.progress import Silent
from nextfill.core.shared_cache import make_folder, open_to_group
from nextfill.core.url_redaction import has_secret, path_of, redacted
from nextfill.data.records.compression import open_file, reading
from nextfill.data.records.data_frames import columns_of, write_tables
from nextfill.data.records.file_formats import ARCHIVE, compression_of, format_by_name, format_of
from nextfill.data.records.files import INPUTS, content_hash, local_file, remembering
from nextfill.data.records.live_records import hold_for_training
from nextfill.data.records.python_records import (
    check_kind,
    is_name,
    is_scalar,
    plain_or_text,
    split_hint,
    with_article,
    write_lines,
)

logger = logging.getLogger("nextfill")

PLACES = (("data", "source"), ("data", "eval_source"))
"""The settings that take live data, beside the evaluation sets."""

_PIECE = 1 << 20
_HEAD = 1 << 12
_STALE_S = 24 * 3600.0

Progress = Callable[[str, int, int], None]
_SILENT: Progress = Silent().on_stage


def data_files(config: Any, live: Sequence[Assignment], on_progress: Progress) -> list[Assignment]:
    """Write live data, standard input and secret addresses to files, and return settings of these.

    Args:
        config: The config of all other settings, which are valid then: no iterator is used up
            before.
        live: The second half of `separate_live`.
        on_progress: Receives the stage, and how far it is.
    """
    if not [*live, *(once := _read_once(config))]:
        return []
    from nextfill.data.store.store_cache import cache_dir

    cache, files = cache_dir(config.cache_dir), list[Assignment]()
    for one in once:
        format_flag = config.data.format if one.path == PLACES[0] else None
        copy = copy_to_cache(one.value, cache, format_flag, on_progress)
        files.append(replace(one, value=str(copy)))
    for one in live:
        name = hold_for_training(config, one)
        if name is None and _is_live(one):
            name = str(write_live(one.value, cache, one.label, on_progress))
        files.append(one if name is None else replace(one, value=name))
    return files


def separate_live(
    assignments: Sequence[Assignment],
) -> tuple[list[Assignment], list[Assignment]]:
    """Separate settings that are names and numbers from those that are data themselves.

    Example:
        >>> texts = Assignment(("data", "source"), ["one", "two"], "data")
        >>> separate_live([texts, Assignment(("seed",), 1, "seed")])[1] == [texts]
        True
    """
    single = [one for item in assignments for one in _spread(item)]
    sets = {one.path[:2] for one in single if _is_live(one) and one.path not in PLACES}
    live = [one for one in single if _is_live(one) or one.path[:2] in sets]
    plain = [one for one in single if not any(one is other for other in live)]
    unknown = [one for one in plain if one.path[:1] == ("data",) and not _is_setting(one.path)]
    inside = [one.path[-1] for one in unknown if not is_scalar(one.value)]
    if inside:
        raise ConfigError([f"data: found a dict of {', '.join(inside)}. {split_hint(inside)}"])
    return plain, live


def _spread(assignment: Assignment) -> list[Assignment]:
    """Divide an evaluation set in one dict into its settings."""
    path, value, label = assignment.path, assignment.value, assignment.label
    is_set = len(path) == 2 and path[0] == "evaluation"
    if not is_set or not isinstance(value, Mapping) or "source" not in value:
        return [assignment]
    return [Assignment((*path, key), inner, f"{label}.{key}") for key, inner in value.items()]


def _is_setting(path: tuple[str, ...]) -> bool:
    """Check for a setting of the data or of evaluations, whose value may be a list."""
    names = {"data": DataConfig, "evaluation": EvaluationConfig}
    return len(path) < 2 or path[1] in {item.name for item in fields(names[path[0]])}


def _is_live(assignment: Assignment) -> bool:
    path, value = assignment.path, assignment.value
    if path in PLACES:
        return not is_name(value)
    if path[0] != "evaluation" or isinstance(value, Mapping) or _is_setting(path):
        return False
    return path[2:] in ((), ("source",)) and not is_scalar(value)


def _read_once(config: Any) -> list[Assignment]:
    """Return the settings that name standard input, or an address with a secret in it."""
    data, sets = config.data, getattr(getattr(config, "evaluation", None), "sets", {})
    several = [name for one in data.sources for name in (one.source, one.eval_source)]
    if any(name is not None and needs_copy(name) for name in several):
        raise ConfigError(
            [
                "data: standard input, and addresses that hold a secret, cannot be among several "
                "sources: keep what they give in a file first."
            ]
        )
    named = [
        Assignment(PLACES[0], data.source, "--data"),
        Assignment(PLACES[1], data.eval_source, "--eval-data"),
        *(
            Assignment(("evaluation", name, "source"), one.source, f"evaluation.{name}")
            for name, one in sets.items()
        ),
    ]
    once = [one for one in named if one.value is not None and needs_copy(one.value)]
    standard = [one.label for one in once if one.value == STANDARD_INPUT]
    if len(standard) > 1:
        raise ConfigError(
            [f"{' and '.join(standard)} both name standard input, which can be read once."]
        )
    return once


def needs_copy(spec: str) -> bool:
    """Check whether a ``--data`` argument can be read only once, or holds a secret.

    Example:
        >>> needs_copy("-"), needs_copy("https://x.org/a.txt?key=1f"), needs_copy("notes.txt")
        (True, True, False)
    """
    return spec == STANDARD_INPUT or (is_address(spec) and has_secret(spec))


def write_live(
    value: Any, cache: Path, keyword: str = "data", on_progress: Progress = _SILENT
) -> Path:
    """Write data to a file in the cache; an iterator is used up as it is written.

    Example:
        >>> import tempfile
        >>> write_live(["one", "two"], Path(tempfile.mkdtemp())).name[:8]
        '2-texts.'
    """
    check_kind(keyword, value)
    folder = cache / INPUTS

    def report() -> None:
        on_progress(f"writing down {keyword}", file.tell(), 0)

    def write(content: bytes) -> None:
        with _writing(folder):  # and not around the iterator, whose errors are its own
            file.write(content)
        report()

    with _new_file(folder) as file:
        columns = columns_of(keyword, value)
        suffix = ".jsonl"
        if columns is None:
            number, noun = write_lines(_records(value), keyword, write)
        elif columns.rows is not None:
            number, noun = write_lines(columns.rows, keyword, write, plain_or_text)[0], columns.noun
        else:
            with _writing(folder):
                number = write_tables(columns.tables, keyword, file, report)
            noun, suffix = columns.noun, ".parquet"
        if number == 0:
            raise DataError(f"{keyword}: found {with_article(value)} without a record in it.")
        return _rename_by_content(file, f"{number}-{noun}", suffix)


def _records(value: Any) -> Iterable[object]:
    """Iterate over a value; a data set of PyTorch's may have only a length and items."""
    return value if hasattr(value, "__iter__") else (value[n] for n in range(len(value)))


def copy_to_cache(
    spec: str, cache: Path, format_flag: Format | None, on_progress: Progress = _SILENT
) -> Path:
    """Copy standard input, or the file at an address, into the cache."""
    source: AbstractContextManager[BinaryIO]
    if spec == STANDARD_INPUT:
        if not hasattr(sys.stdin, "buffer"):
            raise DataError("--data -: there is no standard input here. Name a file.")
        name, noun, by_name = "standard input", "standard-input", None
        source = nullcontext(sys.stdin.buffer)
    else:
        name, noun, by_name = redacted(spec), "download", format_by_name(path_of(spec))[0]
        source = _open_download(spec, name)
    folder, size = cache / INPUTS, 0
    with source as stream, _new_file(folder) as file:
        while piece := _read_piece(stream, name):
            size += len(piece)
            with _writing(folder):
                file.write(piece)
            on_progress(f"keeping {name}", size, 0)
        if not size:
            raise DataError(f"{name} is empty (0 bytes).")
        with _writing(folder):
            file.flush()
        suffixes = _suffixes(Path(file.name), name, format_flag or by_name)
        return _rename_by_content(file, noun, suffixes)


def _open_download(address: str, name: str) -> BinaryIO:
    from nextfill.data.records.remote_files import open_address

    if is_glob(path_of(address)):
        raise DataError(
            f"--data {name!r}: an address with a password or a query names one file, and no "
            "pattern. Put the password into the environment, as the place's own tools have it."
        )
    return open_address(address)


def _read_piece(stream: BinaryIO, name: str) -> bytes:
    with reading(name):
        return stream.read(_PIECE)


def _suffixes(path: Path, name: str, file_format: str | None) -> str:
    """Return the suffixes for format and compression, by the first bytes of a file."""
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if head.startswith(b"PK\x03\x04"):
        return ARCHIVE
    compression = compression_of(head)
    if file_format is None:
        with reading(name, compression), open_file(local_file(path, name, "", compression)) as file:
            file_format = format_of(file.read(_HEAD))
    return f".{file_format}{compression}"


@contextmanager
def _new_file(folder: Path) -> Iterator[BinaryIO]:
    """Yield a new file in a folder; it is removed unless `_rename_by_content` takes it."""
    temporary = folder / f".{os.getpid()}-{time.monotonic_ns()}.tmp"
    with _writing(folder):
        make_folder(folder)
        _remove_stale(folder)
        file = temporary.open("x+b")
    try:
        with file:
            yield file
    finally:
        temporary.unlink(missing_ok=True)


def _rename_by_content(file: BinaryIO, stem: str, suffixes: str) -> Path:
    """Close a new file and put it in the place that its content names; a sound file there stays."""
    temporary = Path(file.name)
    with _writing(temporary.parent):
        file.flush()
        os.fsync(file.fileno())
        file.seek(0)
        digest = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
        file.close()
        final = temporary.with_name(f"{stem}.{digest}{suffixes}")
        there = os.path.lexists(final)
        # A file that cannot be read is as good as damaged.
        with suppress(OSError), remembering(final.parent.parent, verify=False):
            if there and content_hash(final) == digest:
                return final
        temporary.replace(final)
        open_to_group(final)
    if there:
        logger.warning("%s was damaged, and is written again", final)
    return final


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Turn a fault of writing into the cache into a `DataError` with its remedy."""
    try:
        yield
    except OSError as error:
        raise DataError(
            f"{folder} cannot be written: {error.strerror or error}. Make room there, or name "
            "another folder with cache_dir."
        ) from error


def _remove_stale(folder: Path) -> None:
    """Remove the files of killed processes, a day after they last wrote to them."""
    for path in folder.glob(".*.tmp"):
        with suppress(OSError):  # its owner has just renamed it, or keeps it
            if time.time() - path.stat().st_mtime > _STALE_S:
                path.unlink()
