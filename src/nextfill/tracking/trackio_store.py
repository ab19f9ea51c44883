"""A run's points in Trackio's database of this machine."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from trackio.sqlite_storage import SQLiteStorage

from nextfill.runs.directory import RunDirectory
from nextfill.tracking.points import Point, Text
from nextfill.tracking.store import PROJECT, Settings, by_step


class TrackioStore:
    """A run of a project.

    Trackio's own `log` queues, and a kill would lose what is queued: its database is written to
    directly, which waits for the disk. Nothing leaves the machine, whatever the environment says.
    """

    def __init__(self, run: RunDirectory) -> None:
        self._title = run.path.absolute().name
        self._name = ""
        self._settings: dict[str, str | int | float | bool] | None = None

    def begin(self, settings: Settings, replaced: str | None) -> str:
        """Begin a run, and remove the one before."""
        if replaced is not None:
            SQLiteStorage.delete_run(PROJECT, self._title, run_id=replaced)
        self._name = secrets.token_hex(16)
        self._settings = dict(settings)  # they go with the first points
        return self._name

    def go_on(self, name: str) -> bool:
        """Go on with a run that is there."""
        records = SQLiteStorage.get_run_records(PROJECT)
        self._name = name
        return any(one.get("id") == name for one in records)

    def send(self, points: Sequence[Point], texts: Sequence[Text]) -> None:
        """Add a row for each step."""
        rows = by_step(points, texts)
        SQLiteStorage.bulk_log(
            PROJECT,
            self._title,
            list(rows.values()),
            steps=list(rows),
            config=self._settings,
            run_id=self._name,
        )
        self._settings = None

    def close(self, *, finished: bool) -> str:
        """Say how to see it."""
        del finished
        return f'trackio show --project "{PROJECT}"'
