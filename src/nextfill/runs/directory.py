"""The run directory: the files and logs of a run, written so that a kill loses nothing.

``events.jsonl`` records what happened and repeats exactly when the run is repeated;
``timing.jsonl`` records when and how fast, which does not. After a resume, events past the
checkpoint are cut off and happen again. Every line of a log ends with a checksum of the run's
settings and of the line's text; every other file has one in ``checksums.json``
(`nextfill.core.checksums`).
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from nextfill.config.data_places import DATA
from nextfill.core.atomic_write import recover_folder, sync, write_file
from nextfill.core.checksums import (
    CHECKPOINTS,
    STAGES,
    Record,
    file_checksum,
    folder_checksums,
    read_record,
    record_problems,
    stage_files,
    text_checksum,
    write_record,
)
from nextfill.core.errors import RunError
from nextfill.core.json_text import escape_surrogates
from nextfill.core.model_folders import refuse_checkpoint
from nextfill.core.paths import check_utf8_name, user_path
from nextfill.core.shell_command import shell_command
from nextfill.runs.log_lines import append_line, read_lines, undamaged_size

_LOCK = ".lock"
_TEMPORARIES = (".*.tmp", ".tmp??????")
"""Ours, and those in which safetensors writes a file before it takes its place."""


@dataclass(frozen=True)
class _Place:
    """A file or folder of a run, by its name."""

    name: str

    def __get__(self, run: RunDirectory, owner: type) -> Path:
        return run.path / self.name


@dataclass(frozen=True)
class RunDirectory:
    """The paths of a run, its logs, its checksums and its lock."""

    path: Path

    config = _Place("config.toml")
    """The resolved settings, themselves a recipe that repeats the run."""
    measured = _Place("measured.json")
    """Isolation, precision, versions and revision, as they were found at load."""
    ledger = _Place("ledger.json")
    """The count of every token, by where it went."""
    data = _Place(DATA)
    """The files that the data were read from, with their digests, and where they are now."""
    events = _Place("events.jsonl")
    """The log of what happened, in order."""
    timing = _Place("timing.jsonl")
    """The log of when, and how fast."""
    checkpoints = _Place(CHECKPOINTS)
    stages = _Place(STAGES)
    """The settings of earlier stages of a run that was given other steps later."""
    evaluations = _Place("evaluations")
    """The folder of each evaluation's figures per document."""
    texts = _Place("texts.json")
    """Held-out documents token by token: those that gained and lost most."""
    report = _Place("report.html")

    @property
    def model(self) -> Path:
        """The result: a plain Hugging Face directory, whole or not there."""
        folder = self.path / "model"
        recover_folder(folder)
        return folder

    @cached_property
    def _seed(self) -> str:
        """A checksum of the first settings, which marks the lines of this run's logs as its own."""
        first = next(iter(stage_files(self.path)), self.config)
        return text_checksum(first.read_text("utf-8")) if first.is_file() else ""

    def append_event(self, event: Mapping[str, Any]) -> None:
        """Add one line to the events."""
        append_line(self.events, event, self._seed)

    def append_timing(self, timing: Mapping[str, Any]) -> None:
        """Add one line to the timing."""
        append_line(self.timing, timing, self._seed)

    def read_events(self, kind: str | None = None) -> list[dict[str, Any]]:
        """Return the events of a kind, or all, without a last line that a kill cut short.

        Another damaged line raises `RunError`.
        """
        found = read_lines(self.events, self._seed)
        return [event for event in found if kind is None or event.get("event") == kind]

    def read_timing(self) -> list[dict[str, Any]]:
        """Return the timing so far, with that of steps taken again after a resume."""
        return read_lines(self.timing, self._seed)

    def go_back_to(self, events: Mapping[str, Any], note: Callable[[str], None]) -> None:
        """Cut the events back to their size and checksum at a checkpoint.

        The timing is not cut back, since the time was spent, except from a damaged line on.
        """
        size = undamaged_size(self.timing, self._seed)
        if self.timing.is_file() and size < self.timing.read_bytes().rfind(b"\n") + 1:
            note(f"{self.timing} is damaged: what it holds from byte {size:,} on is left out")
        with self.timing.open("ab"):
            os.truncate(self.timing, size)
        # First what the record expects: a kill in between must not leave more expected than there.
        self._record_logs({self.events.name: events, self.timing.name: file_checksum(self.timing)})
        with self.events.open("ab"):
            os.truncate(self.events, events["bytes"])

    def record_logs(self) -> Mapping[str, Any]:
        """Flush the logs to the disk, record their checksums, and return these by file name."""
        logs = {}
        for path in (self.events, self.timing):
            with path.open("ab"):
                pass
            sync(path)
            logs[path.name] = file_checksum(path)
        self._record_logs(logs)
        return logs

    def _record_logs(self, logs: Mapping[str, Any]) -> None:
        write_record(self.path, replace(read_record(self.path) or Record(), logs=logs))

    def record_model(self) -> None:
        """Record the checksums of the model's files, in place of those of an earlier model."""
        record = read_record(self.path) or Record()
        others = {name: one for name, one in record.files.items() if not name.startswith("model/")}
        new = {f"model/{name}": one for name, one in folder_checksums(self.model).items()}
        write_record(self.path, replace(record, files={**others, **new}))

    def problems(self, is_checked: Callable[[str], bool]) -> list[str]:
        """Return a line on each damaged file, among the recorded names that are to be checked."""
        record = read_record(self.path)
        return [] if record is None else record_problems(self.path, record, is_checked)

    def remove_temporaries(self) -> None:
        """Remove the unfinished files that a stopped run left."""
        for pattern in _TEMPORARIES:
            for path in [*self.path.rglob(pattern)]:
                _remove(path)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the run against other processes; raise `RunError` if one of them has it."""
        path = self.path / _LOCK
        with _opened_lock(path) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise RunError(f"{self.path} is being written by another process.") from error
            # Whoever begins a run that cannot begin removes it, and the lock that we wait for.
            if not path.exists() or not os.path.samestat(os.fstat(file.fileno()), path.stat()):
                raise RunError(f"{self.path} was removed by another process. Try again.")
            yield

    def is_under_way(self) -> bool:
        """Tell whether a process trains the run now."""
        path = self.path / _LOCK
        if not path.is_file():
            return False
        with path.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False


def _remove(path: Path) -> None:
    if path.is_dir():  # in which other ranks of a run that was stopped may write still
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _opened_lock(path: Path) -> Any:
    try:
        return path.open("a")
    except OSError as error:
        raise RunError(f"{path.parent} cannot be written: {error.strerror}.") from error


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    with write_file(path) as beside:
        beside.write_text(text, encoding="utf-8")


def json_text(value: object) -> str:
    """Return a value in the format of a run's JSON files."""
    return escape_surrogates(json.dumps(value, indent=2, ensure_ascii=False)) + "\n"


def write_json(path: Path, value: object) -> None:
    """Write a JSON file whole or not at all."""
    write_text(path, json_text(value))


def check_free(path: Path) -> None:
    """Refuse an output folder that is in use, with the command that would go on with its run."""
    if path.is_file():
        raise RunError(f"--out {path} is a file: give a folder.")
    refuse_checkpoint(path)
    if path.is_dir() and any(not _is_of_a_start(one) for one in path.iterdir()):
        if (path / "config.toml").is_file():
            raise RunError(
                f"--out {path} already holds a run. Give another folder, or go on with it: "
                f"{shell_command('train', '--out', path, '--resume')}"
            )
        raise RunError(f"--out {path} is not empty: give a new or empty folder.")


def _is_of_a_start(path: Path) -> bool:
    """Tell a file that a start left which was killed before the settings were written."""
    return path.name == _LOCK or path.match(".config.toml*.tmp")


def new_run_directory(out: str | None, job_name: str) -> RunDirectory:
    """Make the directory of a new run: ``out``, or else a free one in ``runs/`` for the job."""
    if out is None:
        return _numbered_directory(Path("runs") / job_name)
    path = check_utf8_name(user_path(out, "--out"), "--out")
    check_free(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"--out {out} cannot be made: {error.strerror}.") from error
    return RunDirectory(path)


def _numbered_directory(first: Path) -> RunDirectory:
    path, number = first, 1
    while True:
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            number += 1
            path = first.with_name(f"{first.name}-{number}")
        except OSError as error:
            raise RunError(f"{path} cannot be made: {error.strerror}. Give --out.") from error
        else:
            return RunDirectory(path)
