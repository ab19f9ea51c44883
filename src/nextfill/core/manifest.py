"""The record of a run or a checkpoint: ``checksums.json``, a checksum of every file it wrote.

Whoever reads a file of the folder asks here first, so that nothing damaged is believed. A folder
without the file, of a run made before there was one, or a model that came from elsewhere, is read
unchecked.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from nextfill.core.atomic_write import write_file
from nextfill.core.checksums import (
    CHECKSUM,
    file_checksum,
    file_problem,
    is_whole,
    prefix_problem,
    sealed,
)
from nextfill.core.errors import RunError

RECORD = "checksums.json"
RUN_RECORD = "run.json"
"""A checkpoint's copy of its run's record."""
CHECKPOINTS = "checkpoints"


@dataclass(frozen=True)
class Record:
    """What the files of a folder were when they were written.

    Args:
        files: By name, ``/`` between folders, the size and checksum of each file.
        logs: By name the same of the beginning of a file that grows.
        base: Checksums of the model that a run began with, by what they are of.
    """

    files: Mapping[str, Any] = field(default_factory=dict)
    logs: Mapping[str, Any] = field(default_factory=dict)
    base: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return what `from_json` takes, with a checksum of it all."""
        return sealed(asdict(self))

    @classmethod
    def from_json(cls, tree: Any) -> Record:
        """Return the record that was written."""
        if not isinstance(tree, dict):
            raise ValueError("it holds no object")  # noqa: TRY004 - of a file, not a type of ours
        plain = {key: value for key, value in tree.items() if key != CHECKSUM}
        if not is_whole(tree) or plain.keys() != asdict(cls()).keys():
            raise ValueError("it is not as it was written")
        return cls(**plain)


def read_record(folder: Path) -> Record | None:
    """Return the record of a folder, None if it has none."""
    path = folder / RECORD
    try:
        return Record.from_json(json.loads(path.read_bytes()))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(f"{path} is damaged: {error}.") from error


def write_record(folder: Path, record: Record) -> None:
    """Write the record of a folder, whole or not at all."""
    with write_file(folder / RECORD, owned=True) as beside:
        text = json.dumps(record.to_json(), indent=1, sort_keys=True)
        beside.write_text(text + "\n", encoding="utf-8")


def record_files(folder: Path, names: Iterable[str]) -> None:
    """Add files that were just written to a folder's record, in place of what it says of them."""
    record = read_record(folder)
    if record is not None:
        new = {name: file_checksum(folder / name) for name in names}
        write_record(folder, replace(record, files={**record.files, **new}))


def recover_record(run: Path) -> Record | None:
    """Return the record of a run, from its newest checkpoint that has a copy where it is lost."""
    try:
        found, damage = read_record(run), None
    except RunError as error:
        found, damage = None, error
    if found is not None:
        return found
    for copy in sorted(run.glob(f"{CHECKPOINTS}/step-*/{RUN_RECORD}"), reverse=True):
        with suppress(OSError, ValueError, RecursionError):
            return Record.from_json(json.loads(copy.read_bytes()))
    if damage is not None:
        raise damage
    return None


def is_changed(run: Path, name: str) -> bool:
    """Say whether a file of a run is on record, and is not as it was written."""
    record = read_record(run)
    return record is not None and bool(record_problems(run, record, lambda one: one == name))


def check_files(run: Path, of: Callable[[str], bool]) -> None:
    """Refuse files of a run that are not as it wrote them."""
    record = read_record(run)
    problems = [] if record is None else record_problems(run, record, of)
    if problems:
        raise RunError(
            f"{run} is damaged: {'; '.join(problems)}. What can be made again is made by: "
            f"nextfill train --out {shlex.quote(str(run))} --resume"
        )


def record_problems(
    folder: Path, record: Record, of: Callable[[str], bool] = lambda name: True
) -> list[str]:
    """Return which files are not as they were written, and how they differ."""
    checks = ((record.files, file_problem), (record.logs, prefix_problem))
    return [
        f"{name} {problem}"
        for entries, check in checks
        for name, expected in sorted(entries.items())
        if of(name) and (problem := check(folder / name, expected))
    ]
