"""Files of a source that cannot be read, all of them in one message and not only the first."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from nextfill.core.errors import DataError
from nextfill.data.records.files import File
from nextfill.data.records.formats.compression import external_errors

Item = TypeVar("Item")

_MOST_NAMED = 10
_MOST_READ = 1 << 28
"""Characters of other files that are read to find further problems: seconds of reading."""


class UnreadableFileError(DataError):
    """A file of a source that is read in parts cannot be read.

    Args:
        message: Why.
        at: Its place among the files of the whole source, from 0.
    """

    def __init__(self, message: str, at: int) -> None:
        super().__init__(message)
        self.at = at


def read_each(
    files: Sequence[File], read: Callable[[File], Iterator[Item]], name: str
) -> Iterator[Item]:
    """Yield what is read of each file in turn.

    Once one cannot be read, the others are read for their problems alone: whoever mends a folder
    wants to know of all that is to be mended.
    """
    for at, file in enumerate(files):
        try:
            yield from read(file)
        except DataError as error:
            if is_out_of_reach(error) or len(files) == 1:
                raise
            raise unreadable_from(at, str(error), files, read, name) from error


def unreadable_from(
    at: int,
    problem: str,
    files: Sequence[File],
    read: Callable[[File], Iterator[Any]],
    name: str,
) -> DataError:
    """Return the error for a file and all after it that cannot be read.

    Args:
        at: The file's place, from 0.
        problem: Why it cannot be read.
        files: All files of the source.
        read: Reads one.
        name: The source.
    """
    others, unknown = problems_of(files[at + 1 :], read)
    return problem_message(name, [problem, *others], unknown)


def problems_of(
    files: Sequence[File], read: Callable[[File], Iterator[Any]]
) -> tuple[list[str], int]:
    """Return the first problem of each file that has one, and how many files were not read."""
    problems: list[str] = []
    left = _MOST_READ
    for at, file in enumerate(files):
        try:
            for item in read(file):
                left -= len(str(item))
                if left <= 0:
                    return problems, len(files) - at
        except DataError as error:
            problems.append(str(error))
            if is_out_of_reach(error):  # each other one would be waited for, too
                return problems, len(files) - at - 1
    return problems, 0


def is_out_of_reach(error: DataError) -> bool:
    """Check for a fault of the disk or the network, rather than of the file."""
    return error.__cause__ is None and isinstance(error.__context__, external_errors())


def problem_message(name: str, problems: Sequence[str], unknown: int = 0) -> DataError:
    """Return one error about all files with a problem: at most ten by name, and a count.

    Args:
        name: The source.
        problems: Messages that begin with the name of a file each.
        unknown: Files that were not read for their problems.
    """
    more = f" {unknown:,} further files were not read." if unknown else ""
    if len(problems) == 1:
        alone = problems[0].startswith(f"{name}:")  # the source itself, rather than a file in it
        mend = "" if alone else f" Mend it, or take it out of {name}, and run again."
        return DataError(f"{problems[0].rstrip('.')}.{mend}{more}")
    lines = [f"{name}: {len(problems):,} files cannot be read:"]
    lines += [f"  {problem.rstrip('.')}." for problem in problems[:_MOST_NAMED]]
    if len(problems) > _MOST_NAMED:
        lines.append(f"  and {len(problems) - _MOST_NAMED:,} more.")
    lines.append(f"Mend them, or take them out of {name}, and run again.{more}")
    return DataError("\n".join(lines))
