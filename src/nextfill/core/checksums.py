"""Checksums of files and JSON, and the record of a run's or checkpoint's files: ``checksums.json``.

XXH3 with 128 bits, by Yann Collet's xxhash: it reads as fast as memory does. It finds the changes
of a failing disk, a cut copy or a slip of a hand; it is no seal against somebody who changes a file
and its checksum alike. A folder without a record, of an early run or of a model that came from
elsewhere, is read unchecked.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import xxhash

from nextfill.core.amounts import amount
from nextfill.core.atomic_write import write_file
from nextfill.core.errors import RunError
from nextfill.core.shell_command import shell_command

ALGORITHM = "xxh3_128"
NO_BYTES = {"bytes": 0, ALGORITHM: xxhash.xxh3_128_hexdigest(b"")}
"""The `file_checksum` of an empty file."""
CHECKSUM = "checksum"
"""The key of a checksum among the JSON values that it covers."""

_PIECE_BYTES = 1 << 22

RECORD = "checksums.json"
RUN_RECORD = "run.json"
"""A checkpoint's copy of its run's record."""
CHECKPOINTS = "checkpoints"
STAGES = "stages"
"""The folder of a run's settings in its earlier stages, in files named by the stage's number."""
STAGE = "stage-"
"""Before that file's name, its copy's in a checkpoint."""


def file_checksum(path: Path, size: int | None = None) -> dict[str, Any]:
    """Return the size and checksum of a file, or of its first ``size`` bytes.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "empty")
        >>> path.touch()
        >>> file_checksum(path)
        {'bytes': 0, 'xxh3_128': '99aa06d3014798d86001c324468d497f'}
    """
    checksum, done = xxhash.xxh3_128(), 0
    with path.open("rb", buffering=0) as file:
        buffer = memoryview(bytearray(_PIECE_BYTES))
        while size is None or done < size:
            most = _PIECE_BYTES if size is None else min(_PIECE_BYTES, size - done)
            count = file.readinto(buffer[:most])
            if not count:
                break
            checksum.update(buffer[:count])
            done += count
    return {"bytes": done, ALGORITHM: checksum.hexdigest()}


def text_checksum(text: str) -> str:
    """Return the checksum of a text in UTF-8, in hexadecimal.

    Example:
        >>> text_checksum("")
        '99aa06d3014798d86001c324468d497f'
    """
    return xxhash.xxh3_128_hexdigest(text.encode("utf-8", "surrogatepass"))


def line_checksum(seed: str, text: str) -> str:
    """Return a short checksum of a line, in 16 hexadecimal digits.

    Example:
        >>> line_checksum("", "") != line_checksum("a", "")
        True
    """
    return xxhash.xxh3_64_hexdigest(f"{seed}\n{text}".encode())


def folder_checksums(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the checksum of every file of a folder, by its name there."""
    names = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    return {name: file_checksum(folder / name) for name in names}


def file_problem(path: Path, expected: Any, *, grows: bool = False) -> str | None:
    """Describe how a file differs from its checksum, None if it does not.

    Of a file that ``grows`` only the beginning is compared.
    """
    if not isinstance(expected, Mapping) or not {"bytes", ALGORITHM} <= expected.keys():
        return "has no checksum"
    written = expected["bytes"]
    try:
        size = path.stat().st_size
        if size < written or (size > written and not grows):
            return f"has {amount(size, 'byte')}, not {written:,}"
        checksum = file_checksum(path, written)
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    if checksum != dict(expected):
        return f"holds other bytes than were written ({ALGORITHM} {checksum[ALGORITHM]})"
    return None


def prefix_problem(path: Path, expected: Any) -> str | None:
    """Describe how a file that has grown differs at its beginning from its checksum."""
    return file_problem(path, expected, grows=True)


def sealed(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return JSON values with their checksum added.

    Example:
        >>> is_whole(sealed({"tokens": 3})), is_whole({**sealed({"tokens": 3}), "tokens": 4})
        (True, False)
    """
    return {**values, CHECKSUM: text_checksum(canonical_json(dict(values)))}


def is_whole(values: object) -> bool:
    """Return whether values match the checksum that `sealed` added."""
    if not isinstance(values, dict):
        return False
    rest = {name: value for name, value in values.items() if name != CHECKSUM}
    return bool(values.get(CHECKSUM) == text_checksum(canonical_json(rest)))


def canonical_json(value: object) -> str:
    """Return the canonical JSON text of a value, for checksums and comparisons.

    Example:
        >>> canonical_json({"b": 1, "a": [2]})
        '{"a":[2],"b":1}'
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


@dataclass(frozen=True)
class Record:
    """Checksums of a folder's files when they were written.

    Args:
        files: Size and checksum of each file by name, ``/`` between folders.
        logs: The same of the beginning of each file that grows.
        base: Checksums of the model that a run began with, by part.
    """

    files: Mapping[str, Any] = field(default_factory=dict)
    logs: Mapping[str, Any] = field(default_factory=dict)
    base: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the record as JSON values with a checksum of them."""
        return sealed(asdict(self))

    @classmethod
    def from_json(cls, tree: Any) -> Record:
        """Return the record of JSON values, refusing changed ones with a ValueError."""
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
    """Update a folder's record, if it has one, for files that were just written."""
    record = read_record(folder)
    if record is not None:
        new = {name: file_checksum(folder / name) for name in names}
        write_record(folder, replace(record, files={**record.files, **new}))


def recover_record(run: Path) -> Record | None:
    """Return a run's record, or its copy in the newest checkpoint where it is lost or damaged."""
    damage = None
    try:
        record = read_record(run)
        if record is not None:
            return record
    except RunError as error:
        damage = error
    for copy in sorted(run.glob(f"{CHECKPOINTS}/step-*/{RUN_RECORD}"), reverse=True):
        with suppress(OSError, ValueError, RecursionError):
            return Record.from_json(json.loads(copy.read_bytes()))
    if damage is not None:
        raise damage
    return None


def stage_files(run: Path) -> list[Path]:
    """Return the settings of a run's earlier stages, in the order of the stages."""
    found = [path for path in (run / STAGES).glob("*.toml") if path.stem.isdecimal()]
    return sorted(found, key=lambda path: int(path.stem))


def is_changed(run: Path, name: str) -> bool:
    """Return whether a file of a run differs from its record; False without a record."""
    record = read_record(run)
    return record is not None and bool(record_problems(run, record, lambda one: one == name))


def check_files(run: Path, of: Callable[[str], bool]) -> None:
    """Refuse the chosen files of a run if any differs from its record."""
    record = read_record(run)
    problems = [] if record is None else record_problems(run, record, of)
    if problems:
        raise RunError(
            f"{run} is damaged: {'; '.join(problems)}. What can be made again is made by: "
            f"{shell_command('train', '--out', run, '--resume')}"
        )


def record_problems(
    folder: Path, record: Record, of: Callable[[str], bool] = lambda name: True
) -> list[str]:
    """Describe how the chosen files of a folder differ from its record."""
    return [
        f"{name} {problem}"
        for entries, grows in ((record.files, False), (record.logs, True))
        for name, expected in sorted(entries.items())
        if of(name) and (problem := file_problem(folder / name, expected, grows=grows))
    ]
