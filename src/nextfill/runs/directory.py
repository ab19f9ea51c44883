"""The run directory: everything a run leaves behind, written so that a kill loses nothing.

``events.jsonl`` holds what happened and repeats exactly when the run is repeated; ``timing.jsonl``
holds when and how fast, which does not. After a resume, events past the checkpoint are cut off and
happen again. Each of their lines ends with a checksum of the run's settings and of what stands
before it; every other file has one in ``checksums.json`` (`nextfill.core.checksums`).
"""

from __future__ import annotations

import fcntl
import json
import os
import shlex
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from nextfill.core.atomic_write import recover_folder, sync, write_file
from nextfill.core.checksums import (
    Record,
    file_checksum,
    folder_checksums,
    read_record,
    record_problems,
    text_checksum,
    write_record,
)
from nextfill.core.errors import RunError
from nextfill.core.json_text import escape_surrogates
from nextfill.core.paths import check_utf8_name, user_path
from nextfill.runs.logs import append_line, read_lines, whole_size

_LOCK = ".lock"
_TEMPORARIES = (".*.tmp", ".tmp??????")
"""Ours, and those in which safetensors writes a file before it takes its place."""


@dataclass(frozen=True)
class RunDirectory:
    """The paths of a run, and its logs.

    Args:
        path: The directory.
    """

    path: Path

    @property
    def config(self) -> Path:
        """The resolved settings, themselves a recipe that repeats the run."""
        return self.path / "config.toml"

    @property
    def measured(self) -> Path:
        """What was measured or found at load: isolation, precision, versions, revision."""
        return self.path / "measured.json"

    @property
    def ledger(self) -> Path:
        """Where every token went."""
        return self.path / "ledger.json"

    @property
    def events(self) -> Path:
        """What happened, in order."""
        return self.path / "events.jsonl"

    @property
    def timing(self) -> Path:
        """When, and how fast."""
        return self.path / "timing.jsonl"

    @property
    def checkpoints(self) -> Path:
        """Folder of checkpoints."""
        return self.path / "checkpoints"

    @property
    def evaluations(self) -> Path:
        """Folder of each evaluation's figures per document."""
        return self.path / "evaluations"

    @property
    def texts(self) -> Path:
        """Held-out documents token by token: those that gained and lost most."""
        return self.path / "texts.json"

    @property
    def report(self) -> Path:
        """The page that shows all this."""
        return self.path / "report.html"

    @property
    def model(self) -> Path:
        """The result: a plain Hugging Face directory."""
        folder = self.path / "model"
        recover_folder(folder)
        return folder

    @cached_property
    def _seed(self) -> str:
        """What tells this run's lines from another's: a checksum of its settings."""
        return text_checksum(self.config.read_text("utf-8")) if self.config.is_file() else ""

    def append_event(self, event: Mapping[str, Any]) -> None:
        """Add one line to the events."""
        append_line(self.events, event, self._seed)

    def append_timing(self, timing: Mapping[str, Any]) -> None:
        """Add one line to the timing."""
        append_line(self.timing, timing, self._seed)

    def read_events(self, kind: str | None = None) -> list[dict[str, Any]]:
        """Return the events so far; a last line cut short by a kill is left out."""
        found = read_lines(self.events, self._seed)
        return [event for event in found if kind is None or event.get("event") == kind]

    def read_timing(self) -> list[dict[str, Any]]:
        """Return the timing so far, of steps that were taken again after a resume, too."""
        return read_lines(self.timing, self._seed)

    def go_back_to(self, events: Mapping[str, Any], note: Callable[[str], None]) -> None:
        """Cut the logs back to where a checkpoint was made."""
        kept = whole_size(self.timing, self._seed)
        if self.timing.is_file() and kept < self.timing.read_bytes().rfind(b"\n") + 1:
            note(f"{self.timing} is damaged: what it holds from byte {kept:,} on is left out")
        with self.timing.open("ab"):
            os.truncate(self.timing, kept)
        # First what the record expects: a kill in between must not leave more expected than there.
        self._record_logs({self.events.name: events, self.timing.name: file_checksum(self.timing)})
        with self.events.open("ab"):
            os.truncate(self.events, events["bytes"])

    def record_logs(self) -> Mapping[str, Any]:
        """Make sure that the logs are on the disk, put their checksums on record, return these."""
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
        """Put the files of the model on record, in place of those of an earlier one."""
        record = read_record(self.path) or Record()
        others = {name: one for name, one in record.files.items() if not name.startswith("model/")}
        new = {f"model/{name}": one for name, one in folder_checksums(self.model).items()}
        write_record(self.path, replace(record, files={**others, **new}))

    def problems(self, of: Callable[[str], bool]) -> list[str]:
        """Return which of the files that are on record are not as they were written."""
        record = read_record(self.path)
        return [] if record is None else record_problems(self.path, record, of)

    def remove_temporaries(self) -> None:
        """Remove what was being written when the run was stopped."""
        for pattern in _TEMPORARIES:
            for path in [*self.path.rglob(pattern)]:
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from writing the run."""
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
    """Return a value as a JSON file of a run holds it."""
    return escape_surrogates(json.dumps(value, indent=2, ensure_ascii=False)) + "\n"


def write_json(path: Path, value: object) -> None:
    """Write a JSON file whole or not at all."""
    write_text(path, json_text(value))


def check_free(path: Path) -> None:
    """Refuse an output folder that is in use."""
    if path.is_file():
        raise RunError(f"--out {path} is a file: give a folder.")
    if path.is_dir() and any(not _is_of_a_start(one) for one in path.iterdir()):
        if (path / "config.toml").is_file():
            raise RunError(
                f"--out {path} already holds a run. Give another folder, or go on with it: "
                f"nextfill train --out {shlex.quote(str(path))} --resume"
            )
        raise RunError(f"--out {path} is not empty: give a new or empty folder.")


def _is_of_a_start(path: Path) -> bool:
    """Say whether a file is what a start leaves that was killed before the settings were there."""
    return path.name == _LOCK or path.match(".config.toml*.tmp")


def new_run_directory(out: str | None, job_name: str) -> RunDirectory:
    """Make the directory of a new run."""
    if out is None:
        number = 1
        while True:
            path = Path("runs") / (job_name if number == 1 else f"{job_name}-{number}")
            try:
                path.mkdir(parents=True)
            except FileExistsError:
                number += 1
            except OSError as error:
                raise RunError(f"{path} cannot be made: {error.strerror}. Give --out.") from error
            else:
                return RunDirectory(path)
    path = check_utf8_name(user_path(out, "--out"), "--out")
    check_free(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"--out {out} cannot be made: {error.strerror}.") from error
    return RunDirectory(path)
