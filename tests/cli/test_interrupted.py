"""Ctrl-C in the moments in which nothing is computed: the run is there, and says how to go on."""

from __future__ import annotations

import pytest

import nextfill
from nextfill.core.errors import Interrupted, RunError
from nextfill.core.progress import Silent
from nextfill.runs.directory import RunDirectory


class Stopping(Silent):
    """Is interrupted as soon as it is told something."""

    def __init__(self, words: str) -> None:
        self._words = words

    def on_note(self, text: str) -> None:
        if self._words in text:
            raise KeyboardInterrupt


@pytest.fixture
def job(tiny_model, text_file):
    return {
        **{"model": tiny_model, "data": text_file, "device": "cpu", "eval_every": 1},
        **{"max_steps": 2, "batch_size": 2, "block_size": 32, "quiet": True},
    }


@pytest.mark.parametrize("begun", [False, True])
def test_once_the_settings_are_written_a_run_can_go_on(job, tmp_path, begun):
    with pytest.raises(Interrupted, match="resume=True") as stop:
        nextfill.train(out=tmp_path / "run", observer=Stopping("writing to"), **job)
    assert stop.value.step == 0
    if begun:  # the file is made, and the stop came before its first line
        (tmp_path / "run" / "events.jsonl").touch()
    resumed = nextfill.train(out=tmp_path / "run", resume=True)
    whole = nextfill.train(out=tmp_path / "whole", **job)
    assert resumed.after == whole.after


def test_while_a_run_to_go_on_with_is_checked(job, tmp_path):
    nextfill.train(out=tmp_path / "run", **job)
    with pytest.raises(Interrupted, match="resume=True") as stop:
        nextfill.train(out=tmp_path / "run", resume=True, observer=Stopping("finished already"))
    assert stop.value.step == 2


def test_before_the_settings_are_written_there_is_nothing_to_go_on_with(job, tmp_path, monkeypatch):
    def interrupted(path, text):
        raise KeyboardInterrupt

    monkeypatch.setattr("nextfill.training.job.write_text", interrupted)
    with pytest.raises(KeyboardInterrupt):
        nextfill.train(out=tmp_path / "run", **job)
    assert not (tmp_path / "run").exists()


def test_what_another_process_is_writing_is_left_alone(job, tmp_path):
    run = tmp_path / "run"
    nextfill.train(out=run, **job)
    (run / ".model.tmp").mkdir()  # as by the process that has the run's lock
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    with RunDirectory(run).locked(), pytest.raises(RunError, match="by another process"):
        nextfill.train(out=run, resume=True)
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before
    nextfill.train(out=run, resume=True)
    assert not (run / ".model.tmp").exists()  # as by a kill, now that nobody has it


def test_who_comes_second_to_an_empty_folder_writes_nothing(job, tmp_path):
    """Both found it free; the first has finished when the second comes to write."""
    run = tmp_path / "run"

    def overtake(text):
        if not run.exists():
            nextfill.train(out=run, **{**job, "seed": 5})

    observer = Silent()
    observer.on_note = overtake
    with pytest.raises(RunError, match="already holds a run"):
        nextfill.train(out=run, **job, observer=observer)
    assert "seed = 5" in (run / "config.toml").read_text("utf-8")
    assert nextfill.train(out=run, resume=True).steps == 2
