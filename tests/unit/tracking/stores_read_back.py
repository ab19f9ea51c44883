"""The points of each tracker's store, read by its own reader."""

from __future__ import annotations

import json
import sys
import time
import types
from collections import Counter
from pathlib import Path

Points = Counter
"""How often each (name, step, value) is there."""


def tensorboard_points(run: Path) -> Points:
    # Otherwise their reader imports TensorFlow wherever that is installed.
    sys.modules.setdefault("tensorboard.compat.notf", types.ModuleType("notf"))
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    read = EventAccumulator(str(run / "tensorboard"), size_guidance={"scalars": 0}).Reload()
    return Counter(
        (name, one.step, one.value) for name in read.Tags()["scalars"] for one in read.Scalars(name)
    )


def mlflow_points(run: Path) -> Points:
    from mlflow import MlflowClient

    del run
    client = MlflowClient()
    experiment = client.get_experiment_by_name("nextfill")
    found: Points = Counter()
    for one in client.search_runs([experiment.experiment_id]):  # those that are not deleted
        for name in one.data.metrics:
            history = client.get_metric_history(one.info.run_id, name)
            found.update((name, point.step, point.value) for point in history)
    return found


def trackio_points(run: Path) -> Points:
    import trackio
    from trackio.sqlite_storage import SQLiteStorage

    found: Points = Counter()
    for one in trackio.Api().runs("nextfill"):
        if one.name != run.name:
            continue
        for row in SQLiteStorage.get_logs("nextfill", one.name, run_id=one.id):
            found.update(
                (name, row["step"], value)
                for name, value in row.items()
                if name not in ("step", "timestamp")
            )
    return found


def wandb_points(run: Path) -> Points:
    """Read the run's offline folders: records of LevelDB's log around their messages."""
    from wandb.proto import wandb_internal_pb2

    name = json.loads((run / "tracking" / "wandb.json").read_text())["name"]
    found: Points = Counter()
    for path in Path("wandb").glob(f"offline-run-*/run-{name}.wandb"):
        kinds: set[str] = set()
        deadline = time.monotonic() + 20
        while "exit" not in kinds and time.monotonic() < deadline:  # their process writes it
            points: Points = Counter()
            for message in log_records(path.read_bytes()):
                record = wandb_internal_pb2.Record()
                record.ParseFromString(message)
                kinds.add(record.WhichOneof("record_type"))
                row = {
                    one.key or "/".join(one.nested_key): json.loads(one.value_json)
                    for one in record.history.item
                }
                points.update(
                    (key, row["step"], value)
                    for key, value in row.items()
                    if key != "step" and not key.startswith("_")
                )
        found += points
    return found


BLOCK, HEADER, FILE_HEADER = 32_768, 7, 7


def log_records(data: bytes) -> list[bytes]:
    """Return the records of LevelDB's log format: blocks of parts that are whole, first, last."""
    records, parts, at = [], [], FILE_HEADER
    while at + HEADER <= len(data):
        room = BLOCK - at % BLOCK
        if room < HEADER:
            at += room
            continue
        size, kind = int.from_bytes(data[at + 4 : at + 6], "little"), data[at + 6]
        part = data[at + HEADER : at + HEADER + size]
        at += HEADER + size
        if kind == 0:
            break
        parts.append(part)
        if kind in (1, 4):
            records.append(b"".join(parts))
            parts = []
    return records


READERS = {
    "tensorboard": tensorboard_points,
    "mlflow": mlflow_points,
    "trackio": trackio_points,
    "wandb": wandb_points,
}
