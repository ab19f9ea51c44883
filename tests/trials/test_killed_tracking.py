"""A training that is killed while a tracker follows it, and resumed: each point once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from tests.unit.tracking.stores_read_back import READERS
from tests.unit.tracking.test_stores import expected

pytestmark = [
    pytest.mark.trial,
    pytest.mark.filterwarnings("ignore:.*noload.*loader strategy"),
]


@pytest.mark.parametrize("tracker", ["tensorboard", "mlflow", "trackio", "wandb"])
def test_a_kill_doubles_and_loses_no_point(tracker, tiny_model, text_file, tmp_path, monkeypatch):
    if tracker != "tensorboard":
        pytest.importorskip(tracker, reason=f"it is not installed: pip install nextfill[{tracker}]")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    if tracker == "trackio":
        import trackio.sqlite_storage
        import trackio.utils

        for module in (trackio.utils, trackio.sqlite_storage):
            monkeypatch.setattr(module, "TRACKIO_DIR", tmp_path / "trackio")
    run = tmp_path / "run"
    words = [
        *("train", "--model", str(tiny_model), "--data", str(text_file), "--block-size", "32"),
        *("--batch-size", "2", "--max-steps", "90", "--eval-every", "30", "--save-every", "20"),
        *("--out", str(run), "--quiet", "--track", tracker),
    ]
    begin = [sys.executable, "-m", "nextfill"]
    events = run / "events.jsonl"
    for least, arguments in ((30, words), (65, ["train", "--out", str(run), "--resume"])):
        process = subprocess.Popen([*begin, *arguments], env=os.environ.copy())
        deadline = time.monotonic() + 300
        while not events.is_file() or events.read_bytes().count(b'"event": "step"') < least:
            assert process.poll() is None, "it ended before it was killed"
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
    subprocess.run([*begin, "train", "--out", str(run), "--resume", "--quiet"], check=True)
    points = READERS[tracker](run)
    assert {name for name in points if points[name] > 1} == set()
    assert points == expected(run, tracker)
