"""The files read below a folder, glob, archive or bucket, and the reasons against others."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import PurePosixPath
from types import MappingProxyType

from nextfill.config import Format
from nextfill.core.errors import DataError
from nextfill.data.records.files import display_name
from nextfill.data.records.formats.file_formats import (
    ARCHIVE,
    HEAD_BYTES,
    INSTALL_DOCUMENTS,
    RICH_TEXT,
    TAR,
    format_by_name,
    placeholder,
    readable_formats,
)
from nextfill.data.records.formats.foreign_files import (
    LOCK_OF_OFFICE,
    files_of_words,
    kind_by_name,
    plain_text_advice,
    some_of,
    texts_of_other_names,
)

HIDDEN = "hidden"
DESCRIPTION = "description of a saved data set"
_NO_FORMAT = "no text format"

Read = Callable[[str, int], bytes]
"""Returns the first bytes of a file, at most so many, by its path below the source."""

_SAVED_WITH_ARROW = ("state.json", "dataset_info.json")
MOST_EXAMPLES = 3
"""Names of files that are left out for one reason, in messages."""

_MOST_SUFFIXES = 20
_LONGEST_SUFFIX = 12


@dataclass(frozen=True)
class Entry:
    """A file below a source, before its selection.

    Args:
        path: Its path below the source, with forward slashes.
        size: Bytes; None where unknown.
        unfit: The reason why it cannot be read whatever its name, or an empty string.
    """

    path: str
    size: int | None
    unfit: str = ""

    @property
    def parts(self) -> tuple[str, ...]:
        """The names along the path, by which files are sorted."""
        return PurePosixPath(self.path).parts


@dataclass(frozen=True)
class SelectedFile:
    """The path, format and compression of a file to read."""

    path: str
    format: str
    compression: str


def select_files(
    entries: Iterable[Entry], format_flag: Format | None, what: str, read: Read | None = None
) -> tuple[list[SelectedFile], Mapping[str, int], Mapping[str, Sequence[str]]]:
    """Return the files to read, sorted by path; counts and first names of others by reason."""
    ordered = sorted(entries, key=lambda entry: entry.parts)
    folders_of_arrow = {entry.parts[:-1] for entry in ordered if entry.path.endswith(".arrow")}
    selected: list[SelectedFile] = []
    left_out: Counter[str] = Counter()
    names: defaultdict[str, list[str]] = defaultdict(list)
    for entry in ordered:
        by_name, compression = format_by_name(entry.path)
        file_format = format_flag or by_name
        reason = _reason(entry, file_format, entry.parts[:-1] in folders_of_arrow)
        if file_format and not reason and read is not None:
            head, outer = read(entry.path, HEAD_BYTES), "" if compression else file_format
            other = placeholder(head, outer, by_flag=format_flag is not None)
            reason = other.reason if other else ""
        if reason or file_format is None:
            left_out[reason] += 1
            if left_out[reason] <= MOST_EXAMPLES:
                names[reason].append(display_name(entry.path))
        else:
            selected.append(SelectedFile(entry.path, file_format, compression))
    by_reason = _commonest(left_out)
    if not selected:
        there = (
            f"found {describe_counts(by_reason, names)}" if by_reason else "found no file at all"
        )
        words = not_read_though_words(ordered, read, all_of=True)
        hints = " ".join([*words, readable_formats()]) + plain_text_advice(_unknown(ordered), read)
        raise DataError(f"{what} holds no file that can be read: {there}. {hints}")
    return selected, by_reason, {reason: names[reason] for reason in by_reason if names[reason]}


def not_read_though_words(
    entries: Iterable[Entry], read: Read | None, *, all_of: bool = False
) -> list[str]:
    """Return a sentence, with the remedy, for each kind of files of words in no format.

    With ``all_of`` no others are read, and plain text of other names is not told: all is.
    """
    paths = {display_name(path): path for path in _unknown(entries)}

    def head(name: str) -> bytes:
        return read(paths[name], HEAD_BYTES) if read else b""

    others = [] if all_of else texts_of_other_names(paths, head)
    return [*files_of_words(paths, head), *others]


def _unknown(entries: Iterable[Entry]) -> list[str]:
    """Return the paths of files whose names say no format."""
    reasons = ((one.path, _reason(one, None, beside_arrow=False)) for one in entries)
    return [p for p, why in reasons if why.startswith(_NO_FORMAT) and not format_by_name(p)[0]]


def _reason(entry: Entry, file_format: str | None, beside_arrow: bool) -> str:
    """Return the reason for leaving a file out, or an empty string."""
    name = entry.parts[-1]
    if any(part.startswith(".") for part in entry.parts):
        return "not downloaded from iCloud" if name.endswith(".icloud") else HIDDEN
    if entry.unfit or entry.size == 0:
        return entry.unfit or "empty"
    if name in _SAVED_WITH_ARROW and beside_arrow:
        return DESCRIPTION
    if file_format is not None or (name.startswith(LOCK_OF_OFFICE) and kind_by_name(name)):
        return "lock file of Office" if name.startswith(LOCK_OF_OFFICE) else _unread(file_format)
    suffix = PurePosixPath(name).suffix.lower()
    if suffix == ARCHIVE or TAR.search(name):
        return f"archive inside ({suffix})"
    return f"{_NO_FORMAT} ({display_name(suffix[:_LONGEST_SUFFIX]) or 'no suffix'})"


def _unread(file_format: str | None) -> str:
    """Return the reason for leaving a document out while the library that reads it is missing."""
    library = RICH_TEXT.get(file_format or "")
    if library is None or find_spec(library) is not None:
        return ""
    return f"documents (.{file_format}), read after {INSTALL_DOCUMENTS}"


def _commonest(left_out: Counter[str]) -> dict[str, int]:
    """Return the commonest reasons, and the sum of the others."""
    common = dict(left_out.most_common(_MOST_SUFFIXES))
    rest = left_out.total() - sum(common.values())
    return {**common, **({f"{_NO_FORMAT} (others)": rest} if rest else {})}


def describe_counts(
    left_out: Mapping[str, int], names: Mapping[str, Sequence[str]] = MappingProxyType({})
) -> str:
    """Format counts by reason for a message, and after them the first names of each.

    Example:
        >>> describe_counts({"no text format (.png)": 4, "empty": 1}, {"empty": ["a.txt"]})
        '4 no text format (.png), 1 empty: a.txt'
    """
    counts = ", ".join(f"{number:,} {reason}" for reason, number in left_out.items())
    named = [some_of(names[reason], left_out[reason]) for reason in left_out if names.get(reason)]
    return f"{counts}: {'; '.join(named)}" if named else counts
