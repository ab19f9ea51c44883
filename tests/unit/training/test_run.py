import json
import subprocess
import sys

import pytest

from nextfill.errors import RunError
from nextfill.models.location import model_folder
from nextfill.training.run import RunDirectory, check_free, new_run_directory, write_json


def test_names_are_numbered_where_taken(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = [str(new_run_directory(None, "gpt2-notes").path) for _ in range(3)]
    assert names == ["runs/gpt2-notes", "runs/gpt2-notes-2", "runs/gpt2-notes-3"]


@pytest.mark.parametrize(
    ("file", "told"), [("config.toml", "--resume"), ("thesis.txt", "not empty")]
)
def test_folder_in_use_is_refused(tmp_path, file, told):
    (tmp_path / file).write_text("mine")
    with pytest.raises(RunError, match=told):
        new_run_directory(str(tmp_path), "job")
    assert (tmp_path / file).read_text() == "mine"


def test_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(RunError, match="is a file"):
        check_free(tmp_path / "file")


def test_empty_folder_is_taken(tmp_path):
    assert new_run_directory(str(tmp_path), "job").path == tmp_path


def test_events_survive_a_line_cut_short(tmp_path):
    run = RunDirectory(tmp_path)
    run.append_event({"event": "step", "step": 1, "text": "é\u2028\n"})
    size = run.sync_events()
    run.append_event({"event": "step", "step": 2})
    with run.events.open("ab") as file:
        file.write(b'{"event": "st')
    assert [event["step"] for event in run.read_events()] == [1, 2]
    run.go_back_to(size)
    assert [event["text"] for event in run.read_events()] == ["é\u2028\n"]


def test_json_is_written_whole_and_alone(tmp_path):
    write_json(tmp_path / "a.json", {"ü": 1})
    write_json(tmp_path / "a.json", {"ü": 2})
    assert json.loads((tmp_path / "a.json").read_text("utf-8")) == {"ü": 2}
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_timing_loses_a_line_cut_short_and_nothing_else(tmp_path):
    run = RunDirectory(tmp_path)
    run.append_timing({"step": 1})
    with run.timing.open("ab") as file:
        file.write(b'{"step": 2, "elap')
    run.go_back_to(0)
    assert run.timing.read_text() == '{"step": 1}\n'


def test_events_that_lost_their_end_are_told_of(tmp_path):
    run = RunDirectory(tmp_path)
    run.append_event({"event": "step", "step": 1})
    size = run.sync_events()
    with pytest.raises(RunError, match="has lost its end"):
        run.go_back_to(size + 1)
    assert run.sync_events() == size


def test_two_processes_cannot_write_one_run(tmp_path):
    run = RunDirectory(tmp_path)
    with run.locked():
        code = (
            "import sys; from pathlib import Path; from nextfill.training.run import RunDirectory\n"
            "with RunDirectory(Path(sys.argv[1])).locked(): print('in')"
        )
        command = [sys.executable, "-c", code, str(tmp_path)]
        other = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "is being written by another process" in other.stderr
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert again.stdout == "in\n"


@pytest.mark.parametrize("name", ["run", "run/model"])
def test_a_model_put_aside_by_a_kill_is_taken_back_by_whoever_reads_it(tmp_path, name):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.toml").write_text("")
    aside = tmp_path / "run" / ".model.old"
    aside.mkdir()
    (aside / "config.json").write_text("{}")
    folder, _ = model_folder(str(tmp_path / name), None, kind="model")
    assert folder == RunDirectory(tmp_path / "run").model
    assert [path.name for path in folder.iterdir()] == ["config.json"]
    assert not aside.exists()


def test_a_model_that_is_there_is_left_alone(tmp_path):
    for name in ("model", ".model.old"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    assert [path.name for path in RunDirectory(tmp_path).model.iterdir()] == ["model"]
