"""A run's points in MLflow, wherever its own environment variables say; else ``mlflow.db`` here."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Sequence

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # read when it is imported
from mlflow import MlflowClient, get_tracking_uri
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException

from nextfill.core.url_redaction import redacted
from nextfill.runs.directory import RunDirectory
from nextfill.tracking.points import Point, Text
from nextfill.tracking.store import PROJECT, Settings

MOST_METRICS, MOST_PARAMETERS = 1_000, 100
"""Of one request, as MLflow has it."""

LONGEST_NAME, LONGEST_VALUE = 250, 500
"""Characters of a name and of a text."""

_CHARACTERS = frozenset("_-. :")


class MlflowStore:
    """A run of an experiment, to which nothing of this machine is added."""

    def __init__(self, run: RunDirectory) -> None:
        for name in ("alembic", "mlflow.store.db.utils"):  # a new database's tables, one by one
            logging.getLogger(name).setLevel(logging.WARNING)
        self._title = run.path.absolute().name
        self._client = MlflowClient()
        self._name = ""

    def begin(self, settings: Settings, replaced: str | None) -> str:
        """Create a run; the one before is deleted, as MLflow does it: it can be restored."""
        if replaced is not None and self._is_active(replaced):
            self._client.delete_run(replaced)
        experiment = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
        known = self._client.get_experiment_by_name(experiment)
        number = known.experiment_id if known else self._client.create_experiment(experiment)
        run = self._client.create_run(number, run_name=self._title)
        self._name = str(run.info.run_id)
        params = [Param(_key(key), str(value)[:LONGEST_VALUE]) for key, value in settings.items()]
        for at in range(0, len(params), MOST_PARAMETERS):
            self._client.log_batch(self._name, params=params[at : at + MOST_PARAMETERS])
        return self._name

    def go_on(self, name: str) -> bool:
        """Go on with a run that is not deleted."""
        if not self._is_active(name):
            return False
        self._name = name
        self._client.update_run(name, status="RUNNING")
        return True

    def send(self, points: Sequence[Point], texts: Sequence[Text]) -> None:
        """Log metrics in as few requests as MLflow allows, and texts as tags."""
        now = int(time.time() * 1000)
        metrics = [Metric(_key(one.name), one.value, now, one.step) for one in points]
        for at in range(0, len(metrics), MOST_METRICS):
            self._client.log_batch(self._name, metrics=metrics[at : at + MOST_METRICS])
        tags = [RunTag(f"{one.name} at step {one.step}", one.text[:LONGEST_VALUE]) for one in texts]
        for at in range(0, len(tags), MOST_PARAMETERS):
            self._client.log_batch(self._name, tags=tags[at : at + MOST_PARAMETERS])

    def close(self, *, finished: bool) -> str:
        """Set the run's state."""
        self._client.set_terminated(self._name, status="FINISHED" if finished else "KILLED")
        return f"run {self._name} at {redacted(get_tracking_uri())}"

    def _is_active(self, name: str) -> bool:
        try:
            return bool(self._client.get_run(name).info.lifecycle_stage == "active")
        except MlflowException as error:
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return False
            raise


def _key(name: str) -> str:
    """Return a name of the characters that MLflow allows, another one for each name.

    It may not read like a path with steps of its own, either.

    Example:
        >>> _key("by/a+b/..//nats")
        'by/a_2b_b/_2e_./_/nats'
    """
    parts = [
        "".join(one if one.isalnum() or one in _CHARACTERS else f"_{ord(one):x}_" for one in part)
        for part in name.split("/")
    ]
    plain = [f"_2e_{part[1:]}" if part in (".", "..") else part or "_" for part in parts]
    return "/".join(plain)[:LONGEST_NAME]
