"""`--track` and `nextfill track`: the stores of real trainings, killed, resumed and refused."""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path

import pytest

import nextfill
from nextfill.cli.main import main
from tests.unit.tracking.stores_read_back import tensorboard_points
from tests.unit.tracking.test_stores import expected


@pytest.fixture
def job(tiny_model, text_file, tmp_path):
    return {
        **{"model": str(tiny_model), "data": str(text_file), "block_size": 32, "batch_size": 2},
        **{"max_steps": 6, "eval_every": 2, "save_every": 2, "out": str(tmp_path / "run")},
    }


@pytest.fixture(autouse=True)
def no_thread_is_left():
    yield
    assert not any(one.name == "nextfill-background" for one in threading.enumerate())


def test_training_is_followed_and_a_resumed_one_goes_on(job, tmp_path):
    run = tmp_path / "run"

    class Stops(nextfill.Observer):
        def on_step(self, event, timing):
            if event["step"] == 5:
                raise KeyError("stops")

    with pytest.raises(KeyError, match="stops"):
        nextfill.train(**job, track=["tensorboard"], observer=Stops())
    at_stop = tensorboard_points(run)
    assert at_stop == expected(run, "tensorboard")
    assert ("train/loss", 5) in {(name, step) for name, step, _ in at_stop}
    told = []

    class Notes(nextfill.Observer):
        def on_note(self, text):
            told.append(text)

    nextfill.train(out=run, resume=True, observer=Notes())  # the run's settings name the tracker
    assert tensorboard_points(run) == expected(run, "tensorboard")
    assert f"tensorboard: tensorboard --logdir {run / 'tensorboard'}" in told
    assert nextfill.track(run)["tensorboard"]["points"] == 0


def test_a_tracker_that_fails_stops_nothing_and_is_told_once(job, tmp_path):
    run = tmp_path / "run"

    class Blocks(nextfill.Observer):
        notes = ()

        def on_start(self, step, num_steps):
            (run / "tensorboard").write_text("in the way")

        def on_note(self, text):
            self.notes = (*self.notes, text)

    observer = Blocks()
    result = nextfill.train(**job, track="tensorboard", observer=observer)
    assert result.steps == 6
    failed = [note for note in observer.notes if "failed" in note]
    assert len(failed) == 1
    assert failed[0].startswith(
        "tensorboard failed and gets no more points; the run is not touched"
    )
    (run / "tensorboard").unlink()
    assert nextfill.track(run, trackers="tensorboard")["tensorboard"]["points"] > 0
    assert tensorboard_points(run) == expected(run, "tensorboard")


def test_the_command_sends_texts_where_it_is_asked_to(make_run, tmp_path, capsys):
    run = make_run(tmp_path / "a run", text="Dear diary")
    assert main(["track", str(run), "--trackers", "tensorboard"]) == 0
    told = capsys.readouterr().out
    assert told.startswith("tensorboard: ")
    assert told.endswith(f"tensorboard --logdir {run / 'tensorboard'}\n")
    [path] = (run / "tensorboard").iterdir()
    path.unlink()
    assert main(["track", str(run), "--trackers", "tensorboard", "--samples", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["tensorboard"]["points"] > 0
    [path] = (run / "tensorboard").iterdir()
    assert b"Dear diary 60" in path.read_bytes()


def test_without_samples_no_text_is_sent(make_run, tmp_path):
    run = make_run(tmp_path / "run", text="Dear diary")
    config = (run / "config.toml").read_text().replace("Dear diary", "text")
    (run / "config.toml").write_text(config)
    nextfill.track(run, trackers="tensorboard")
    [path] = (run / "tensorboard").iterdir()
    assert b"Dear diary" not in path.read_bytes()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            ["--trackers", "tensorbord"],
            "there is no tracker 'tensorbord'. Did you mean 'tensorboard'?",
        ),
        (
            ["--trackers", ","],
            "--trackers: found no name. Give some of tensorboard, trackio, wandb",
        ),
        ([], "say where to: --trackers tensorboard, trackio, wandb or mlflow"),
    ],
)
def test_what_is_no_tracker_is_told(make_run, tmp_path, capsys, words, told):
    run = make_run(tmp_path / "run")
    assert main(["track", str(run), *words]) == 2
    assert told in capsys.readouterr().err


def test_a_missing_library_is_told_before_anything_begins(job, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)  # by which Python finds none
    with pytest.raises(nextfill.ConfigError, match=r"pip install 'nextfill\[tensorboard\]'"):
        nextfill.train(**job, track="tensorboard")
    assert not (tmp_path / "run").exists()


def test_a_misspelt_tracker_is_refused_before_training(job, tmp_path):
    with pytest.raises(nextfill.ConfigError, match="there is no tracker 'mlfow'"):
        nextfill.train(**job, track="mlfow")
    assert not Path(job["out"]).exists()
