"""Each store holds the points of the events, each once: after kills, cuts, and other steps."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from nextfill.runs.directory import RunDirectory
from nextfill.tracking.delivery import Delivery
from nextfill.tracking.store import read_sent, record_file, write_sent
from nextfill.tracking.trackers import make_store
from tests.unit.tracking.stores_read_back import READERS

HEAVY = ("mlflow", "trackio", "wandb")

# Of SQLAlchemy, on the tables of MLflow.
pytestmark = pytest.mark.filterwarnings("ignore:.*noload.*loader strategy")


@pytest.fixture(
    params=["tensorboard", *(pytest.param(one, marks=pytest.mark.trial) for one in HEAVY)]
)
def tracker(request, tmp_path, monkeypatch, tmp_path_factory):
    """A tracker with a store of the test's own."""
    name = request.param
    if name in HEAVY:
        pytest.importorskip(name, reason=f"{name} is not installed: pip install nextfill[{name}]")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("WANDB_MODE", "offline")
    if name == "trackio":
        import trackio.sqlite_storage
        import trackio.utils

        for module in (trackio.utils, trackio.sqlite_storage):
            monkeypatch.setattr(module, "TRACKIO_DIR", tmp_path / "trackio")
    return name


@pytest.fixture
def run(make_run, tmp_path):
    return make_run(tmp_path / "a run", steps=12, eval_every=4, sets=("", "far"), validation=True)


def expected(run: Path, tracker: str) -> Counter:
    """The points of the events, gathered in another way than the program does."""
    found: Counter = Counter()
    for line in (run / "events.jsonl").read_text("utf-8").splitlines():
        event = json.loads(line)
        kind = event.pop("event")
        if kind not in ("step", "evaluation", "validation"):
            continue
        series = {"step": "train", "validation": "validation"}.get(kind)
        series = series or event.pop("set", "held-out")
        step = event.pop("step")
        low, high = event.pop("interval", (None, None))
        numbers = {**event, "interval/low": low, "interval/high": high}
        for name, value in numbers.items():
            if isinstance(value, int | float):
                stored = float(np.float32(value)) if tracker == "tensorboard" else float(value)
                found[f"{series}/{name}", step, stored] += 1
    return found


def send(run: Path, tracker: str, *, in_line: bool = False) -> int:
    directory = RunDirectory(run)
    delivery = Delivery(directory, tracker, make_store(tracker, directory), samples=False)
    sent = delivery.update()
    if in_line:
        sent += delivery.bring_in_line()
    assert delivery.close()
    return sent


def lines(run: Path) -> list[str]:
    return (run / "events.jsonl").read_text("utf-8").splitlines(keepends=True)


def write(run: Path, some: list[str]) -> None:
    (run / "events.jsonl").write_text("".join(some), "utf-8")


def other_steps(some: list[str]) -> list[str]:
    found = []
    for line in some:
        event = json.loads(line)
        if event["event"] == "step":
            event["loss"] += 0.5
        found.append(json.dumps(event) + "\n")
    return found


def test_a_finished_run_is_sent_whole_and_once(run, tracker):
    points = expected(run, tracker)
    assert send(run, tracker) == points.total() > 150
    assert READERS[tracker](run) == points
    assert send(run, tracker) == 0
    assert READERS[tracker](run) == points


def test_a_run_that_grows_is_sent_in_parts(run, tracker):
    whole = lines(run)
    for end in (5, 6, len(whole)):
        write(run, [*whole[:end], *([whole[end][:20]] if end < len(whole) else [])])
        send(run, tracker)
    assert READERS[tracker](run) == expected(run, tracker)


def test_a_run_that_is_killed_and_repeats_its_steps_has_each_point_once(run, tracker):
    whole = lines(run)
    write(run, whole[:25])
    send(run, tracker)
    write(run, whole[:10])  # back to a checkpoint
    assert send(run, tracker) == 0
    write(run, whole[:20])  # not yet as far as it was
    assert send(run, tracker) == 0
    write(run, whole)
    send(run, tracker)
    assert READERS[tracker](run) == expected(run, tracker)


@pytest.mark.parametrize("end", [18, 25, 60], ids=["behind", "as far", "farther"])
def test_a_run_that_takes_other_steps_is_brought_in_line(run, tracker, end):
    whole = lines(run)
    write(run, whole[:25])
    send(run, tracker)
    write(run, [*whole[:10], *other_steps(whole[10:end])])
    send(run, tracker, in_line=True)
    assert READERS[tracker](run) == expected(run, tracker)


def test_a_sending_that_was_cut_short_doubles_nothing(run, tracker):
    whole = lines(run)
    write(run, whole[:25])
    send(run, tracker)
    path = record_file(RunDirectory(run), tracker)
    record = read_sent(path)
    write(run, whole)
    send(run, tracker)
    # As a kill leaves it after the points were sent, and before that was recorded.
    write_sent(path, type(record)(record.name, record.events, record.digest, sending=True))
    send(run, tracker)
    assert READERS[tracker](run) == expected(run, tracker)


def test_a_damaged_record_or_a_store_that_is_gone_begins_anew(run, tracker):
    send(run, tracker)
    record_file(RunDirectory(run), tracker).write_text("{")
    if tracker == "tensorboard":
        for path in (run / "tensorboard").iterdir():
            path.unlink()
        send(run, tracker)
        assert READERS[tracker](run) == expected(run, tracker)
    elif tracker == "wandb":
        send(run, tracker)
        assert READERS[tracker](run) == expected(run, tracker)
