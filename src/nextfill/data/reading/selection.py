"""Which files of a folder, a glob, an archive or a bucket are read, and why others are not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from nextfill.config import Format
from nextfill.data.reading.files import shown
from nextfill.data.reading.formats import ARCHIVE, TAR, readable, told_by_name
from nextfill.data.reading.placeholders import placeholder
from nextfill.errors import DataError

HIDDEN = "hidden"
SAVED_SPLITS = "dataset_dict.json"
_SAVED_WITH_ARROW = ("state.json", "dataset_info.json")
_MOST_SUFFIXES = 20
_LONGEST_SUFFIX = 12


@dataclass(frozen=True)
class Entry:
    """A file that was found.

    Args:
        path: Its path below what was named, with forward slashes.
        size: Bytes; None where nobody tells.
        unfit: Why it cannot be read whatever its name, or an empty string.
    """

    path: str
    size: int | None
    unfit: str = ""

    @property
    def parts(self) -> tuple[str, ...]:
        """The names along the path, by which files are sorted."""
        return PurePosixPath(self.path).parts


@dataclass(frozen=True)
class Chosen:
    """A file that is read, its format and its compression."""

    entry: Entry
    format: str
    compression: str


def choose(
    entries: Iterable[Entry],
    asked: Format | None,
    what: str,
    head: Callable[[Entry], bytes] = lambda entry: b"",
) -> tuple[list[Chosen], Mapping[str, int]]:
    """Sort files by path, and part those that are read from those that are left out.

    Args:
        entries: The files.
        asked: The format of all of them; None goes by their names.
        what: What was named, for messages.
        head: Returns the first bytes of a file, as far as they cost little to have.

    Returns:
        The files to read; how many others there are, by reason.

    Raises:
        DataError: If no file can be read, naming what was found.
    """
    found = sorted(entries, key=lambda entry: entry.parts)
    folders_of_arrow = {entry.parts[:-1] for entry in found if entry.path.endswith(".arrow")}
    chosen: list[Chosen] = []
    left_out: Counter[str] = Counter()
    for entry in found:
        known, compression = told_by_name(entry.path)
        known = asked or known
        reason = _reason(entry, known, entry.parts[:-1] in folders_of_arrow)
        if known and not reason:
            reason = _placeholder(head(entry), known, compression, asked)
        if reason or known is None:
            left_out[reason] += 1
        else:
            chosen.append(Chosen(entry, known, compression))
    by_reason = _fewer(left_out)
    if not chosen:
        there = f"found {told(by_reason)}" if by_reason else "found no file at all"
        raise DataError(f"{what} holds no file that can be read: {there}. {readable()}")
    return chosen, by_reason


def _reason(entry: Entry, known: str | None, beside_arrow: bool) -> str:
    """Say why a file is left out, or return an empty string."""
    name = entry.parts[-1]
    if any(part.startswith(".") for part in entry.parts):
        return "not downloaded from iCloud" if name.endswith(".icloud") else HIDDEN
    if entry.unfit or entry.size == 0:
        return entry.unfit or "empty"
    if name in _SAVED_WITH_ARROW and beside_arrow:
        return "description of a saved data set"
    if known is not None:
        return "lock file of Office" if name.startswith("~$") else ""
    suffix = PurePosixPath(name).suffix.lower()
    if suffix == ARCHIVE or TAR.search(name):
        return f"archive inside ({suffix})"
    return f"no text format ({shown(suffix[:_LONGEST_SUFFIX]) or 'no suffix'})"


def _placeholder(head: bytes, known: str, compression: str, asked: Format | None) -> str:
    """Say what lies in a file's place, or return an empty string."""
    found = placeholder(head, "" if compression else known, asked=asked is not None)
    return found.reason if found else ""


def _fewer(left_out: Counter[str]) -> dict[str, int]:
    """Return the commonest reasons, and the sum of the others."""
    kept = dict(left_out.most_common(_MOST_SUFFIXES))
    rest = left_out.total() - sum(kept.values())
    return {**kept, **({"no text format (others)": rest} if rest else {})}


def told(left_out: Mapping[str, int]) -> str:
    """Return counts as a message has them.

    Example:
        >>> told({"no text format (.png)": 2, "empty": 1})
        '2 no text format (.png), 1 empty'
    """
    return ", ".join(f"{number:,} {reason}" for reason, number in left_out.items())


def splits_beside(paths: Sequence[str]) -> list[str]:
    """Return the splits of a saved data set of several, of which one has to be named."""
    if SAVED_SPLITS not in paths:
        return []
    return sorted({path.partition("/")[0] for path in paths if "/" in path})
