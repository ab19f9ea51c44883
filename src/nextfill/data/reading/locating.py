"""Where a ``--data`` argument leads on this machine: a file, a folder, a glob, an archive."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from nextfill.config import Format
from nextfill.data.live.files import live_name
from nextfill.data.live.kept import kept_name
from nextfill.data.reading.archives import files_in_archive
from nextfill.data.reading.digest import content_hash, state_of
from nextfill.data.reading.files import Files, local_file, shown, state_of_paths
from nextfill.data.reading.folders import files_in_folder, files_of_glob
from nextfill.data.reading.formats import ARCHIVE, TAR, readable, told_by_name
from nextfill.data.reading.opening import reading
from nextfill.data.reading.placeholders import ANNEX
from nextfill.errors import DataError, nearest
from nextfill.paths import is_address, is_glob


def is_path(spec: str, path: Path) -> bool:
    """Tell a path, perhaps mistyped, from a Hub id.

    Args:
        spec: What the user wrote.
        path: The path that it would be.
    """
    if not spec:
        return False
    name, _, _ = spec.partition("@")  # a revision of the Hub may hold slashes, as refs/pr/1
    looks_so = spec.startswith((".", "/", "~")) or name.count("/") > 1 or is_address(spec)
    known, _ = told_by_name(path.name)
    named_so = known is not None or path.suffix.lower() == ARCHIVE or bool(TAR.search(path.name))
    return looks_so or named_so or is_glob(spec) or path.exists()


def find_files(spec: str, path: Path, asked: Format | None) -> tuple[str, Files]:
    """Find the files that a path names, and check that they can be read.

    Args:
        spec: What the user wrote.
        path: The path that it is.
        asked: The format of all files; None goes by their names.

    Returns:
        What messages call them, and the files.

    Raises:
        DataError: If there is nothing to read; says what to type instead.
    """
    kept = live_name(path) or kept_name(path)
    name = kept or shown(spec)
    if not path.exists():
        if is_glob(spec):
            return name, files_of_glob(path, name, asked)
        raise _missing(name, path, kept)
    if path.is_dir():
        return name, files_in_folder(path, name, asked)
    if not path.is_file():
        raise DataError(
            f"--data {name!r} is no regular file, and cannot be read twice. Pipe it in: --data -"
        )
    with reading(name):
        if path.stat().st_size == 0:
            raise DataError(f"--data {name!r} is empty (0 bytes).")
    if path.suffix.lower() == ARCHIVE:
        return name, files_in_archive(
            lambda: path.open("rb"),
            name,
            asked,
            content=lambda: content_hash(path),
            state=lambda: state_of(path.stat()),
        )
    if TAR.search(path.name):
        raise DataError(
            f"--data {name!r} is an archive of a kind that is not read: unpack it and name the "
            "folder."
        )
    known, compression = told_by_name(path.name)
    if asked is None and known is None:
        raise DataError(f"--data {name!r}: cannot tell the format by the name. {readable()}")
    is_asked = asked is not None
    file = local_file(path, name, asked or str(known), compression, asked=is_asked)
    return name, Files([file], partial(state_of_paths, [path]))


def _missing(name: str, path: Path, kept: str | None) -> DataError:
    """Return the error for a path where nothing is."""
    if kept == live_name(path) is not None:
        return DataError(
            f"{path}: the {name} are no longer in the cache. Pass them again with data=."
        )
    if kept:
        return DataError(f"{path}: the {name} is no longer in the cache. Begin a new run with it.")
    if not path.parent.is_dir():
        return DataError(f"--data {name!r}: there is no folder {str(path.parent)!r}.")
    if path.is_symlink():
        target = str(path.readlink())
        hint = f" {ANNEX.advice}." if "annex/objects" in target else ""
        raise DataError(f"--data {name!r} is a link to {shown(target)}, where nothing is.{hint}")
    if (path.parent / f".{path.name}.icloud").exists():
        raise DataError(f"--data {name!r} is not downloaded from iCloud: open it in the Finder.")
    names = sorted(other.name for other in path.parent.iterdir())
    return DataError(f"--data {name!r}: there is no such file.{nearest(path.name, names)}")
