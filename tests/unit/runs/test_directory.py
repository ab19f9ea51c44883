import json
import shutil
import subprocess
import sys
from contextlib import suppress

import pytest

from nextfill.core.checksums import NO_BYTES
from nextfill.core.errors import RunError
from nextfill.models.folder.location import model_folder
from nextfill.runs import directory as run_module
from nextfill.runs.directory import RunDirectory, check_free, new_run_directory, write_json


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


def test_what_a_start_leaves_that_was_killed_at_once_is_in_nobodys_way(tmp_path):
    for name in (".lock", ".config.toml.12-34.tmp"):
        (tmp_path / name).touch()
    check_free(tmp_path)
    (tmp_path / ".thesis.tmp").touch()
    with pytest.raises(RunError, match="not empty"):
        check_free(tmp_path)


def test_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(RunError, match="is a file"):
        check_free(tmp_path / "file")


def test_empty_folder_is_taken(tmp_path):
    assert new_run_directory(str(tmp_path), "job").path == tmp_path


def test_events_survive_a_line_cut_short(tmp_path):
    run = RunDirectory(tmp_path)
    run.append_event({"event": "step", "step": 1, "text": "é\u2028\n"})
    logs = run.record_logs()
    run.append_event({"event": "step", "step": 2})
    with run.events.open("ab") as file:
        file.write(b'{"event": "st')
    assert [event["step"] for event in run.read_events()] == [1, 2]
    run.go_back_to(logs["events.jsonl"], pytest.fail)
    assert [event["text"] for event in run.read_events()] == ["é\u2028\n"]
    assert run.problems(lambda name: True) == []


def test_no_flipped_bit_of_a_log_is_believed(tmp_path):
    (tmp_path / "config.toml").write_text("seed = 1\n")
    run = RunDirectory(tmp_path)
    for step in range(3):
        run.append_event({"event": "step", "step": step, "loss": 1 / 3})
    whole = run.events.read_bytes()
    for place in range(len(whole)):
        for bit in range(8):
            damaged = bytearray(whole)
            damaged[place] ^= 1 << bit
            run.events.write_bytes(damaged)
            lines = 3
            with suppress(RunError):
                lines = len(run.read_events())
                # Only the mark at a line's end can join it to what a kill cut short.
                assert (place, lines) == (len(whole) - 1, 2)
    assert lines in (2, 3)


def test_lines_of_another_run_are_told(tmp_path):
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.toml").write_text(f"# {name}\n")
        RunDirectory(tmp_path / name).append_event({"event": "step", "step": 1})
    shutil.copy(tmp_path / "other" / "events.jsonl", tmp_path / "one")
    with pytest.raises(RunError, match=r"events\.jsonl:1 is damaged"):
        RunDirectory(tmp_path / "one").read_events()


def test_zeros_at_the_end_are_no_line_cut_short(tmp_path):
    run = RunDirectory(tmp_path)
    run.append_event({"event": "step", "step": 1})
    with run.events.open("ab") as file:
        file.write(bytes(40))
    with pytest.raises(RunError, match=r"events\.jsonl:2 is damaged"):
        run.read_events()


def test_lines_without_checksums_are_of_an_earlier_version(tmp_path):
    run = RunDirectory(tmp_path)
    run.events.write_text('{"event": "step", "step": 1}\n')
    assert run.read_events() == [{"event": "step", "step": 1}]
    run.append_event({"event": "step", "step": 2})
    with pytest.raises(RunError, match=r"events\.jsonl:1 is damaged"):
        run.read_events()


def test_json_is_written_whole_and_alone(tmp_path):
    write_json(tmp_path / "a.json", {"ü": 1})
    write_json(tmp_path / "a.json", {"ü": 2})
    assert json.loads((tmp_path / "a.json").read_text("utf-8")) == {"ü": 2}
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_timing_loses_what_was_cut_short_or_damaged_and_what_follows(tmp_path):
    run = RunDirectory(tmp_path)
    for step in (1, 2, 3):
        run.append_timing({"step": step})
    whole = run.timing.read_bytes()
    run.timing.write_bytes(whole + b'{"step": 4, "elap')
    run.go_back_to(NO_BYTES, pytest.fail)
    assert run.timing.read_bytes() == whole
    told = []
    run.timing.write_bytes(whole.replace(b'"step": 2', b'"step": 7'))
    run.go_back_to(NO_BYTES, told.append)
    assert run.read_timing() == [{"step": 1}]
    assert "is damaged: what it holds from byte" in told[0]
    assert run.problems(lambda name: True) == []


def test_a_lock_on_what_was_removed_meanwhile_is_none(tmp_path, monkeypatch):
    run = RunDirectory(tmp_path / "run")
    run.path.mkdir()
    opened = run_module._opened_lock

    def removed(path):
        file = opened(path)
        path.unlink()
        return file

    monkeypatch.setattr(run_module, "_opened_lock", removed)
    with pytest.raises(RunError, match="was removed by another process"), run.locked():
        pytest.fail("locked")


def test_two_processes_cannot_write_one_run(tmp_path):
    run = RunDirectory(tmp_path)
    with run.locked():
        code = (
            "import sys; from pathlib import Path\n"
            "from nextfill.runs.directory import RunDirectory\n"
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


def test_a_run_that_goes_on_finds_nothing_of_what_was_being_written(tmp_path):
    run = new_run_directory(str(tmp_path / "run"), "job")
    (run.path / "checkpoints" / ".step-5.tmp").mkdir(parents=True)
    half = (".config.toml.tmp", "checkpoints/.tmpa9fKz0", "checkpoints/.step-5.tmp/.tmpAbCdEf")
    for name in half:
        (run.path / name).write_text("half")
    (run.path / "checkpoints" / "best.safetensors").write_text("whole")
    run.remove_temporaries()
    assert [path.name for path in (run.path / "checkpoints").iterdir()] == ["best.safetensors"]
    assert not (run.path / ".config.toml.tmp").exists()
