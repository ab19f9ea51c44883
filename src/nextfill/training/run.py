"""The run directory: everything a run leaves behind, written so that a kill loses nothing.

``events.jsonl`` holds what happened and repeats exactly when the run is repeated; ``timing.jsonl``
holds when and how fast, which does not. After a resume, events past the checkpoint are cut off and
happen again.
"""

from __future__ import annotations

import fcntl
import json
import os
import shlex
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nextfill.atomic_write import recover_folder, write_file
from nextfill.errors import RunError
from nextfill.paths import check_utf8_name, user_path
from nextfill.plain import as_whole, to_json


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

    def append_event(self, event: Mapping[str, Any]) -> None:
        """Add one line to the events."""
        _append(self.events, event)

    def append_timing(self, timing: Mapping[str, Any]) -> None:
        """Add one line to the timing."""
        _append(self.timing, timing)

    def read_events(self, kind: str | None = None) -> list[dict[str, Any]]:
        """Return the events so far; a last line cut short by a kill is left out.

        Args:
            kind: Of this kind alone, such as ``"evaluation"``; None for all.
        """
        return _read_lines(self.events, f'{{"event": "{kind}"' if kind else "")

    def read_timing(self) -> list[dict[str, Any]]:
        """Return the timing so far, of steps that were taken again after a resume, too."""
        return _read_lines(self.timing)

    def go_back_to(self, events_size: int) -> None:
        """Cut the logs back to where a checkpoint was made.

        Args:
            events_size: Size of the events in bytes at the checkpoint. Timing is not cut back,
                since the time was spent; but a line cut short by a kill goes.

        Raises:
            RunError: If the events are shorter than that.
        """
        actual = self.events.stat().st_size if self.events.is_file() else 0
        if actual < events_size:
            raise RunError(
                f"{self.events} has lost its end ({actual} bytes, {events_size} at the newest "
                f"checkpoint): delete the newest folder in {self.checkpoints} to go on from before."
            )
        if self.events.is_file():
            os.truncate(self.events, events_size)
        if self.timing.is_file():
            os.truncate(self.timing, self.timing.read_bytes().rfind(b"\n") + 1)

    def remove_temporaries(self) -> None:
        """Remove what was being written when the run was stopped."""
        for path in [*self.path.rglob(".*.tmp")]:
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def sync_events(self) -> int:
        """Make sure that the events are on the disk, and return their size in bytes."""
        with self.events.open("rb") as file:
            os.fsync(file.fileno())
            return os.fstat(file.fileno()).st_size

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from writing the run.

        Raises:
            RunError: If one does.
        """
        with (self.path / ".lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise RunError(f"{self.path} is being written by another process.") from error
            yield


def _read_lines(path: Path, begins: str = "") -> list[dict[str, Any]]:
    if not path.is_file():
        return []
    found = []
    for number, line in enumerate(path.read_bytes().split(b"\n")[:-1], start=1):
        if not line.startswith(begins.encode()):
            continue
        try:
            record = json.loads(line)
        except ValueError as error:
            raise RunError(f"{path}:{number} is damaged: {error}.") from error
        if not isinstance(record, dict):
            raise RunError(f"{path}:{number} is damaged: found {line[:80]!r}, expected an object.")
        found.append(record)
    return found


def _append(path: Path, record: Mapping[str, Any]) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(to_json(record) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    with write_file(path) as beside:
        beside.write_text(text, encoding="utf-8")


def write_json(path: Path, value: object) -> None:
    """Write a JSON file whole or not at all."""
    write_text(path, as_whole(json.dumps(value, indent=2, ensure_ascii=False)) + "\n")


def check_free(path: Path) -> None:
    """Refuse an output folder that is in use.

    Raises:
        RunError: Saying what is there and what to type.
    """
    if path.is_file():
        raise RunError(f"--out {path} is a file: give a folder.")
    if path.is_dir() and any(path.iterdir()):
        if (path / "config.toml").is_file():
            raise RunError(
                f"--out {path} already holds a run. Give another folder, or go on with it: "
                f"nextfill train --out {shlex.quote(str(path))} --resume"
            )
        raise RunError(f"--out {path} is not empty: give a new or empty folder.")


def new_run_directory(out: str | None, job_name: str) -> RunDirectory:
    """Make the directory of a new run.

    Args:
        out: What the user asked for; None for ``runs/`` and a name made from the job.
        job_name: Names the directory where the user did not.

    Returns:
        The directory, made and empty.

    Raises:
        RunError: If the one asked for is in use.
    """
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
