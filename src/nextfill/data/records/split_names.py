"""Files and folders with the names of splits in one source, such as ``train/`` and ``test/``."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import takewhile
from pathlib import PurePosixPath

from nextfill.core.amounts import verb
from nextfill.core.shell_command import shell_word
from nextfill.data.records.python_data.dataset_splits import HELD_OUT, TRAIN, held_out_split

_NAME = re.compile(rf"({'|'.join((TRAIN, *HELD_OUT))})", re.IGNORECASE)
_BEGINNING = re.compile(rf"{_NAME.pattern}(?:[-_.].*)?", re.IGNORECASE)
"""A name such as ``train-00000-of-00001.parquet``."""

_ARCHIVE = ".zip"

Place = tuple[PurePosixPath, bool]
"""A folder, and whether it is its files that have the names, or the folders in it."""


def split_advice(names: Iterable[str], *, is_scored: bool = False) -> str:
    """Return what files of several splits that are read as one are to be told with, or nothing.

    Splits are those of one place: folders beside each other, or files.

    Args:
        names: The names of all files.
        is_scored: Whether they are read to be scored, and not to be trained on.

    Example:
        >>> split_advice(["rows/train.jsonl", "rows/test.jsonl"]).partition("type: ")[2]
        '--data rows/train.jsonl --eval-data rows/test.jsonl'
        >>> split_advice(["notes/train.txt", "notes/2026.txt"])
        ''
    """
    scheme = ""
    below: dict[str, set[str]] = {}  # the names of files, by their folder
    for path in names:
        address, mark, rest = path.rpartition("://")
        scheme = address + mark
        above, slash, name = rest.rpartition("/")
        below.setdefault(above + slash, set()).add(name)
    files = [(PurePosixPath(above), name) for above, some in below.items() for name in some]
    folders = {part for above in below for part in _with_parents(PurePosixPath(above))}
    divided = {
        **_divided(((part.parent, part.name) for part in folders), _NAME, is_file=False),
        **_divided(files, _BEGINNING, is_file=True),
    }
    if not divided:
        return ""
    (folder, is_file), splits = next(iter(divided.items()))
    held = _held(splits)
    both = [_pattern(splits[split], is_file=is_file) for split in (TRAIN, held)]
    if len(divided) > 1:
        folder, both = _common([place for place, _ in divided]), [f"**/{one}" for one in both]
        both = [one if is_file else f"{one}/**" for one in both]
    train, other = (f"{scheme}{folder / one}" for one in both)
    is_packed = any(part.lower().endswith(_ARCHIVE) for part in folder.parts)
    there = {name for some in divided.values() for name in some}
    others = [name for name in HELD_OUT if name in there - {held}]
    named = [TRAIN, held, *others]
    told = f"{', '.join(named[:-1])} and {named[-1]} are names of splits, and are read as one"
    if is_scored:
        how = (
            f"unpack the archive and name {both[1]}"
            if is_packed
            else f"type: --data {shell_word(other)}"
        )
        return f"{told}. To score {held} alone, {how}"
    how = f"type: --data {shell_word(train)} --eval-data {shell_word(other)}"
    if is_packed:
        how = f"unpack the archive, and name {both[0]} with --data and {both[1]} with --eval-data"
    rest = f" ({' and '.join(others)} {verb(len(others), 'is', 'are')} not read then)"
    return f"{told}. To train on {TRAIN} and hold out {held}{rest if others else ''}, {how}"


def _with_parents(folder: PurePosixPath) -> list[PurePosixPath]:
    return [folder, *folder.parents]


def _divided(
    names: Iterable[tuple[PurePosixPath, str]], pattern: re.Pattern[str], *, is_file: bool
) -> dict[Place, dict[str, set[str]]]:
    """Return the names by split of each place that has some to train on and some to hold out."""
    places: dict[Place, dict[str, set[str]]] = {}
    for folder, name in names:
        if match := pattern.fullmatch(name):
            splits = places.setdefault((folder, is_file), {})
            splits.setdefault(match[1].lower(), set()).add(name)
    return {
        place: splits
        for place, splits in sorted(places.items())
        if TRAIN in splits and _held(splits)
    }


def _held(splits: Iterable[str]) -> str:
    return held_out_split(list(splits)) or ""


def _pattern(names: set[str], *, is_file: bool) -> str:
    """Return the one name, or a pattern of those that begin alike."""
    if len(names) == 1 or not is_file:
        return min(names)
    first, last = min(names), max(names)
    same = sum(
        1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False))
    )
    return f"{first[:same]}*" if same else first


def _common(folders: list[PurePosixPath]) -> PurePosixPath:
    """Return the folder that all of these lie in."""
    first = folders[0]
    return next(
        one for one in (first, *first.parents) if all(f.is_relative_to(one) for f in folders)
    )
