"""Local files, folders, globs and archives that a ``--data`` argument names."""

from __future__ import annotations

import errno
import logging
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from nextfill.config import Format
from nextfill.config.command_line.several_names import joined_names
from nextfill.core.errors import DataError
from nextfill.core.paths import address_without_scheme, is_address, is_glob, nearest_path
from nextfill.core.shell_command import shell_word
from nextfill.data.records.file_selection import (
    Entry,
    not_read_though_words,
    select_files,
)
from nextfill.data.records.files import (
    Files,
    content_hash,
    display_name,
    identity_of_paths,
    input_name,
    live_name,
    local_file,
    state_of_paths,
    warn_once,
)
from nextfill.data.records.formats.compression import files_in_archive, reading
from nextfill.data.records.formats.file_formats import (
    ANNEX,
    ARCHIVE,
    HEAD_BYTES,
    TAR,
    format_by_name,
    single_format,
)
from nextfill.data.records.formats.foreign_files import LOCK_OF_OFFICE, kind_by_name
from nextfill.data.records.output_folders import refuse_output, without_outputs

logger = logging.getLogger("nextfill")

LOOP = "link that leads to itself"
UNREADABLE = "no permission to read"
SAVED_SPLITS = "dataset_dict.json"
"""The file that `datasets` puts beside the folders of splits."""

CLOSED = "folder without permission to read"
_MOST_NAMED = 5
_AS_READER: dict[str, bool] = (
    {"effective_ids": True} if os.access in os.supports_effective_ids else {}
)


def is_path(spec: str, path: Path) -> bool:
    """Check for a path, perhaps mistyped, rather than a Hub id."""
    if not spec:
        return False
    name, _, _ = spec.partition("@")  # a revision of the Hub may hold slashes, as refs/pr/1
    looks_so = spec.startswith((".", "/", "~")) or name.count("/") > 1 or is_address(spec)
    by_name, _ = format_by_name(path.name)
    named_so = by_name is not None or path.suffix.lower() == ARCHIVE or bool(TAR.search(path.name))
    foreign = "/" not in name and kind_by_name(name) is not None
    web = address_without_scheme(spec) != "" and not path.parent.is_dir()
    return looks_so or named_so or foreign or web or is_glob(spec) or path.exists()


def find_files(spec: str, path: Path, format_flag: Format | None) -> tuple[str, Files]:
    """Return the name for messages, and the files of a path, all of them readable."""
    name = input_name(path) or display_name(spec)
    if not path.exists():
        if is_glob(spec):
            return name, _files_of_glob(path, name, format_flag)
        if several := joined_names("--data", spec):
            raise DataError(several)
        raise _missing(name, path)
    if path.is_dir():
        return name, _files_in_folder(path, name, format_flag)
    if not path.is_file():
        raise DataError(
            f"--data {name!r} is no regular file, and cannot be read twice. Pipe it in: --data -"
        )
    if path.name.startswith(LOCK_OF_OFFICE):
        raise DataError(
            f"--data {name!r} is the lock file of Office, which is there while the document is "
            f"open and holds none of it.{_document_of_lock(path)}"
        )
    with reading(name):
        if path.stat().st_size == 0:
            raise DataError(f"--data {name!r} is empty (0 bytes).")
    state, identity = partial(state_of_paths, [path]), partial(identity_of_paths, [path])
    if path.suffix.lower() == ARCHIVE:
        content = partial(content_hash, path)
        archive = files_in_archive(
            lambda: path.open("rb"), name, format_flag, content=content, state=state
        )
        return name, replace(archive, identity=identity)
    unpack = "unpack it and name the folder"
    head = _read_head(path.parent, path.name, HEAD_BYTES)
    file_format, compression = single_format(path.name, name, format_flag, unpack, head)
    by_flag = format_flag is not None
    file = local_file(path, name, file_format, compression, by_flag=by_flag)
    return name, Files([file], state, identity=identity)


def _document_of_lock(path: Path) -> str:
    """Return a hint with the document of a lock file, which may lack the name's first letters."""
    end = path.name.removeprefix(LOCK_OF_OFFICE)
    others = sorted(one.name for one in path.parent.iterdir() if one.name != path.name)
    documents = [one for one in others if one.endswith(end) and len(one) - len(end) in (0, 1, 2)]
    if not documents:
        return " Name the document."
    return f" Type: --data {shell_word(path.parent / documents[0])}"


def files_by_split(spec: str, path: Path, format_flag: Format | None) -> dict[str, Files]:
    """Return the files of each split of a folder that `DatasetDict.save_to_disk` wrote, else {}."""
    with reading(spec):
        if not (path / SAVED_SPLITS).is_file():
            return {}
        folders = sorted(one for one in path.iterdir() if one.is_dir() and one.name[0] != ".")
    return {
        one.name: find_files(f"{spec.rstrip('/')}/{one.name}", one, format_flag)[1]
        for one in folders
    }


def _missing(name: str, path: Path) -> DataError:
    """Return the error for a path that does not exist."""
    if live_name(path):
        return DataError(
            f"{path}: the {name} are no longer in the cache. Pass them again with data=."
        )
    if input_name(path):
        return DataError(f"{path}: the {name} is no longer in the cache. Begin a new run with it.")
    if whole := address_without_scheme(name):
        return DataError(
            f"--data {name!r}: there is no such file here, and an address begins with https://. "
            f"Type: --data {shell_word(whole)}"
        )
    if not path.parent.is_dir():
        return DataError(f"--data {name!r}: there is no folder {str(path.parent)!r}.")
    if path.is_symlink():
        target = str(path.readlink())
        hint = f" {ANNEX.advice}." if "annex/objects" in target else ""
        target = display_name(target)
        return DataError(f"--data {name!r} is a link to {target}, where nothing is.{hint}")
    if (path.parent / f".{path.name}.icloud").exists():
        raise DataError(f"--data {name!r} is not downloaded from iCloud: open it in the Finder.")
    return DataError(f"--data {name!r}: there is no such file.{nearest_path(path)}")


def _files_in_folder(folder: Path, spec: str, format_flag: Format | None) -> Files:
    """Find the files of a folder and of those in it."""
    with reading(spec):
        entries = list(_walk(folder, None))
    read = partial(_read_head, folder)
    refuse_output(entries, read, f"--data {spec!r}", spec)
    entries = without_outputs(entries, read, folder.absolute().name)
    return _select(folder, entries, spec, format_flag)


def _files_of_glob(pattern: Path, spec: str, format_flag: Format | None) -> Files:
    """Find the files that match a pattern such as ``notes/**/*.md``."""
    from fsspec.utils import glob_translate

    first = next(n for n, part in enumerate(pattern.parts) if is_glob(part))
    folder, tail = Path(*pattern.parts[:first]), pattern.parts[first:]
    if not folder.is_dir():
        raise DataError(f"--data {spec!r}: there is no folder {str(folder)!r}.")
    try:
        matching = re.compile(glob_translate("/".join([*tail[:-1], _in_any_case(tail[-1])])))
    except (re.error, ValueError) as error:
        raise DataError(f"--data {spec!r} is no pattern: {error}.") from error
    with reading(spec):
        everything = list(_walk(folder, None if "**" in tail else len(tail)))
    entries = without_outputs(
        everything, partial(_read_head, folder), folder.name, pattern=matching
    )
    entries += [entry for entry in everything if entry.unfit == CLOSED]  # where some might match
    if not entries:
        raise DataError(
            f"--data {spec!r}: no file matches. ** stands for any folders, as in 'notes/**/*.md'; "
            "quote the pattern, so that the shell leaves it alone."
        )
    return _select(folder, entries, spec, format_flag)


def _in_any_case(name: str) -> str:
    """Return the last part of a pattern with its suffix in capitals or not, as formats are told.

    Example:
        >>> _in_any_case("*.txt"), _in_any_case("chapter*"), _in_any_case("*.[tm]*")
        ('*.[tT][xX][tT]', 'chapter*', '*.[tm]*')
    """
    stem, dot, suffix = name.rpartition(".")
    if not dot or not suffix.isalnum():
        return name
    return stem + dot + "".join(f"[{c.lower()}{c.upper()}]" for c in suffix)


def _select(folder: Path, entries: list[Entry], spec: str, format_flag: Format | None) -> Files:
    """Select the files to read, with a warning of those without permission."""
    read = partial(_read_head, folder)
    selected, left_out, examples = select_files(entries, format_flag, f"--data {spec!r}", read)
    if faults := [entry for entry in entries if entry.unfit in (LOOP, UNREADABLE, CLOSED)]:
        named = [f"{display_name(one.path)} ({one.unfit})" for one in faults[:_MOST_NAMED]]
        more = f" and {len(faults) - _MOST_NAMED} more" if len(faults) > _MOST_NAMED else ""
        logger.warning("%s: not read: %s%s", spec, ", ".join(named), more)
    for sentence in not_read_though_words(entries, read):
        warn_once(f"{spec}: {sentence}", ["not read", str(folder.absolute()), sentence])
    paths = [folder / one.path for one in selected]
    by_flag = format_flag is not None
    files = [
        local_file(path, str(path), one.format, one.compression, by_flag=by_flag)
        for path, one in zip(paths, selected, strict=True)
    ]
    return Files(
        files,
        partial(state_of_paths, paths),
        several=True,
        left_out=left_out,
        left_out_names=examples,
        identity=partial(identity_of_paths, paths),
    )


def _read_head(folder: Path, path: str, most: int) -> bytes:
    """Return the first bytes of a file; a fault is an error when the whole file is read."""
    with suppress(OSError), (folder / path).open("rb", buffering=0) as file:
        return file.read(most)
    return b""


def _walk(folder: Path, depth: int | None) -> Iterator[Entry]:
    """Yield the files down to a depth, without those of hidden folders."""
    todo = [(folder, "")]
    while todo:
        here, below = todo.pop()
        try:
            entries = os.scandir(here)
        except PermissionError:
            if not below:
                raise
            yield Entry(below.rstrip("/"), None, CLOSED)
            continue
        with entries:
            for entry in entries:
                path = below + entry.name
                if not _is_folder(entry):
                    yield _entry(entry, path)
                elif entry.is_symlink():
                    yield Entry(path, None, "link to a folder")
                elif entry.name.startswith("."):
                    yield Entry(path, None)
                elif depth is None or path.count("/") + 1 < depth:
                    todo.append((here / entry.name, f"{path}/"))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Check for a folder; a link that leads to itself, or without permission, is none."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _entry(entry: os.DirEntry[str], path: str) -> Entry:
    try:
        size = entry.stat().st_size
    except FileNotFoundError:
        is_annex = "annex/objects" in str(Path(entry.path).readlink())
        return Entry(path, None, ANNEX.reason if is_annex else "broken link")
    except OSError as error:
        return Entry(path, None, LOOP if error.errno == errno.ELOOP else UNREADABLE)
    if not entry.is_file():
        return Entry(path, size, "not a regular file")
    return Entry(path, size, "" if os.access(entry.path, os.R_OK, **_AS_READER) else UNREADABLE)
