"""The files that a job read, with their digests: recorded by a run, compared when it is used again.

A file is told by its content, so that moved data are the same data, and a changed file is named.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import zip_longest
from pathlib import Path, PurePath
from typing import Any

from nextfill.config import TrainConfig
from nextfill.config.data_places import recorded_sources, source_names
from nextfill.core.amounts import amount
from nextfill.core.errors import NextfillError, RunError
from nextfill.core.paths import is_glob
from nextfill.data.document import Source

ReadFile = Mapping[str, Any]
"""The size of a file in ``bytes``, where it is known, and what its content is known by."""

Key = tuple[str, str]
"""A source: its name, and the slice of it, which may be of other files."""

Files = Mapping[str, ReadFile]
"""The files of a source by their names below it, in the order of reading."""

OnSource = Callable[[str, str | None, Source], None]
"""Called with a source that was opened: its name, the slice that is read, and the source."""

_MOST_NAMED = 5


class SourceFiles:
    """The files of each source of a job, received as it is opened.

    Args:
        expected: Those that a run recorded, by the source's name now; others are refused.
        refusal: Makes the error of a source and what is other about it.
        places: Where sources were when they were recorded, by the names of those that moved.
    """

    def __init__(
        self,
        expected: Mapping[Key, Files] | None = None,
        refusal: Callable[[str, str], NextfillError] = lambda name, found: RunError(found),
        places: Mapping[str, str] | None = None,
    ) -> None:
        self.found: dict[Key, Files] = {}
        self._expected, self._refusal = expected or {}, refusal
        self._places = places or {}

    def __call__(self, name: str, split: str | None, source: Source) -> None:
        """Take the files of a source that was opened."""
        files = _files_of(name, source)
        if not files:
            return
        key = name, split or ""
        self.found[key] = files
        expected = self._expected.get(key)
        if expected is not None and _contents(expected) != _contents(files):
            before = _folder(self._places.get(name, name))
            told = list(_differences(_folder(name), expected, files, before))
            more = f"; and {len(told) - _MOST_NAMED} more" if len(told) > _MOST_NAMED else ""
            raise self._refusal(name, "; ".join(told[:_MOST_NAMED]) + more)


def _files_of(name: str, source: Source) -> dict[str, ReadFile]:
    folder = _folder(name)
    files: dict[str, ReadFile] = {}
    for path, content in source.contents.items():
        facts: dict[str, Any] = {}
        with suppress(OSError, ValueError):
            facts["bytes"] = Path(path).stat().st_size
        if content is not None:
            facts["content"] = content
        below = PurePath(path)
        is_below = below != folder and below.is_relative_to(folder)
        files[str(below.relative_to(folder)) if is_below else below.name] = facts
    return files


def _folder(name: str) -> Path:
    """Return what a source's files lie below: a folder or archive, of a pattern its first folder.

    Example:
        >>> _folder("notes/**/*.md").name, _folder("notes.txt").name
        ('notes', 'notes.txt')
    """
    parts = Path(name).expanduser().parts
    first = next((n for n, part in enumerate(parts) if is_glob(part)), len(parts))
    return Path(*parts[:first])


def _contents(files: Files) -> list[Any]:
    """Return what tells the files of a source, whatever they are called.

    Nothing does of files that are read as they come: their portions are compared one by one.
    """
    return [one.get("content") for one in files.values()]


def _differences(folder: Path, expected: Files, now: Files, before: Path) -> Iterator[str]:
    """Yield what is other about each file of a place, which was read from another before."""
    if not folder.is_dir():  # a file, perhaps of another name, or an archive
        [*_, was], [*_, one] = expected.values(), now.values()
        if len(expected) == len(now) == 1:
            yield _change(was, one, before, folder)
        else:
            yield f"{folder} holds other files than {_subject(before, folder)} did"
        return
    for name, was in expected.items():
        if name not in now:
            yield f"{folder / name} is gone" if before == folder else f"{folder / name} is missing"
        elif (one := now[name]) != was:
            yield _change(was, one, before / name, folder / name)
    yield from (f"{folder / name} is new" for name in now if name not in expected)
    if expected.keys() == now.keys() and list(expected) != list(now):
        first = next(two for two in zip_longest(expected, now) if two[0] != two[1])
        yield f"{folder / str(first[1])} comes where {first[0]} did"


def _change(was: ReadFile, now: ReadFile, before: Path, path: Path) -> str:
    """Return what is other about a file, which stood in another place before if it was moved."""
    size, size_now = was.get("bytes"), now.get("bytes")
    if size is None or size_now is None:
        return f"{path} holds other text than {_subject(before, path)} did"
    if size == size_now:
        as_many = f"as many ({amount(size, 'byte')})"
        return f"{path} holds other text than {_subject(before, path)} did, {as_many}"
    other = "" if before == path else f"{path} "
    return f"{before} held {amount(size, 'byte')} and {other}holds {amount(size_now, 'byte')}"


def _subject(before: Path, path: Path) -> str:
    return "it" if before == path else str(before)


def expected_files(run: Path, recorded: TrainConfig, now: TrainConfig) -> dict[Key, Files]:
    """Return the files that a run recorded, by the names that its sources have now.

    Args:
        run: The run.
        recorded: Its settings.
        now: Those that it is gone on with, whose data may be named otherwise.
    """
    names = dict(zip(source_names(recorded), source_names(now), strict=False))
    return {
        (str(names.get(place, place)), str(one.get("split", ""))): one["files"]
        for one in recorded_sources(run)
        for place in (one.get("place", one["name"]),)
    }


def to_json(
    found: Mapping[Key, Files], first: TrainConfig, now: TrainConfig
) -> dict[str, Sequence[Mapping[str, Any]]]:
    """Return the record of a job's files, by the names in its first settings."""
    names = dict(zip(source_names(now), source_names(first), strict=False))
    sources = []
    for (place, split), files in found.items():
        name = names.get(place, place)
        one: dict[str, Any] = {"name": name}
        if place != name:
            one["place"] = place
        if split:
            one["split"] = split
        sources.append({**one, "files": files})
    return {"sources": sources}
