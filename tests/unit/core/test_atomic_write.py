"""Files and folders that take the place of others: killed at every step, one of them is whole."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from nextfill.core import atomic_write
from nextfill.core.atomic_write import recover_folder, remove_folder, write_file, write_folder

KILLED_AT_EACH_STEP = '''
"""Replace a folder, and then again and again, killed at each step that Python takes on the disk."""
import json, os, signal, sys
from pathlib import Path
from nextfill.core import atomic_write
from nextfill.core.atomic_write import recover_folder, write_folder

place, exchange, old = Path(sys.argv[1]), sys.argv[2] == "exchange", json.loads(sys.argv[3])
if not exchange:
    atomic_write._exchange = lambda one, other: False  # as on a file system without it

def fill(folder, text):
    for name in ("model.safetensors", "config.json"):
        (folder / name).write_text(text)

def found():
    return {path.name: path.read_text() for path in place.iterdir()} if place.is_dir() else None

def kill_at(step):
    steps = iter(range(1_000_000))
    def hook(event, arguments):
        if event.partition(".")[0] in ("os", "open", "shutil", "ctypes") and next(steps) == step:
            os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(hook)

seen = []
for step in range(1_000):
    if old:
        with write_folder(place, owned=True) as beside:
            fill(beside, "old")
    pid = os.fork()
    if pid == 0:
        kill_at(step)
        with write_folder(place, owned=True) as beside:
            fill(beside, "new")
        os._exit(0)
    ended = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    there = found()
    recover_folder(place)
    seen.append([ended, there, found()])
    if ended == 0:
        break
    if not old:
        import shutil; shutil.rmtree(place, ignore_errors=True)
with write_folder(place, owned=True) as beside:
    fill(beside, "last")
print(json.dumps({"seen": seen, "left": sorted(path.name for path in place.parent.iterdir())}))
'''


def killed_at_each_step(place: Path, way: str, *, old: bool) -> tuple[list[list], list[str]]:
    command = [sys.executable, "-c", KILLED_AT_EACH_STEP, str(place), way, json.dumps(old)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    return result["seen"], result["left"]


def whole(text: str) -> dict[str, str]:
    return {"model.safetensors": text, "config.json": text}


@pytest.mark.parametrize("way", ["exchange", "rename aside"])
def test_a_kill_at_any_step_leaves_the_old_folder_or_the_new(tmp_path, way):
    seen, left = killed_at_each_step(tmp_path / "model", way, old=True)
    assert len(seen) > 10
    assert [ended for ended, _, _ in seen] == [-9] * (len(seen) - 1) + [0]
    recovered = [after for _, _, after in seen]
    assert all(after in (whole("old"), whole("new")) for after in recovered), recovered
    assert whole("old") in recovered[:-1]
    assert whole("new") in recovered[:-1]
    if way == "exchange" and sys.platform == "linux":  # so that nobody has to take anything back
        assert all(before is not None for _, before, _ in seen)
    elif way == "rename aside":  # the moment there is none; else this test would show nothing
        assert any(before is None for _, before, _ in seen)
    assert left == ["model"]


def test_a_kill_at_any_step_leaves_a_first_folder_whole_or_none(tmp_path):
    seen, left = killed_at_each_step(tmp_path / "model", "exchange", old=False)
    assert {json.dumps(before, sort_keys=True) for _, before, _ in seen} == {
        "null",
        json.dumps(whole("new"), sort_keys=True),
    }
    assert left == ["model"]


@pytest.mark.parametrize("exchanges", [True, False])
def test_an_error_leaves_what_was_there(tmp_path, monkeypatch, exchanges):
    if not exchanges:
        monkeypatch.setattr(atomic_write, "_exchange", lambda one, other: False)
    place = tmp_path / "model"
    with write_folder(place, owned=True) as beside:
        (beside / "a").write_text("old")

    def stop() -> None:
        with write_folder(place, owned=True) as beside:
            (beside / "a").write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop()
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert (place / "a").read_text() == "old"


def test_a_reader_that_takes_the_old_one_back_in_between_loses_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(atomic_write, "_exchange", lambda one, other: False)
    place = tmp_path / "model"
    with write_folder(place, owned=True) as beside:
        (beside / "a").write_text("old")
    real, recovered = Path.rename, []

    def rename(path: Path, target: Path) -> Path:
        if path.name == ".model.tmp" and not recovered:
            recovered.append(recover_folder(place))
        return real(path, target)

    monkeypatch.setattr(Path, "rename", rename)
    with write_folder(place, owned=True) as beside:
        (beside / "a").write_text("new")
    assert recovered
    assert (place / "a").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_link_in_the_place_is_replaced_and_its_folder_stays(tmp_path):
    elsewhere, place = tmp_path / "disk" / "old", tmp_path / "here" / "model"
    elsewhere.mkdir(parents=True)
    place.parent.mkdir()
    (elsewhere / "a").write_text("old")
    place.symlink_to(elsewhere)
    with write_folder(place, owned=True) as beside:
        (beside / "a").write_text("new")
    assert ((place / "a").read_text(), (elsewhere / "a").read_text()) == ("new", "old")
    assert not place.is_symlink()
    assert [path.name for path in place.parent.iterdir()] == ["model"]


def test_a_folder_that_is_not_ours_is_never_replaced(tmp_path):
    place = tmp_path / "words"

    def write() -> None:
        with write_folder(place, owned=False) as beside:
            (beside / "ours").touch()
            place.mkdir()
            (place / "theirs").touch()  # another process, meanwhile

    with pytest.raises(OSError, match="not empty"):
        write()
    assert [path.name for path in tmp_path.rglob("*")] == ["words", "theirs"]


def test_a_removed_folder_is_gone_from_its_place_before_its_files(tmp_path, monkeypatch):
    (tmp_path / "step-1").mkdir()
    (tmp_path / "step-1" / "cursor.json").touch()
    seen = []
    monkeypatch.setattr(atomic_write, "_remove", seen.append)
    remove_folder(tmp_path / "step-1")
    assert [path.name for path in seen[0].iterdir()] == ["cursor.json"]
    assert not (tmp_path / "step-1").exists()


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    file = tmp_path / "facts.json"
    with write_file(file) as beside:
        beside.write_text("old")

    def stop() -> None:
        with write_file(file) as beside:
            beside.write_text("ha")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop()
    assert file.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["facts.json"]


@pytest.mark.parametrize("umask", [0o022, 0o027, 0o077, 0o002])
def test_modes_are_those_of_any_new_file(tmp_path, umask):
    before = os.umask(umask)
    try:
        with write_folder(tmp_path / "model", owned=True) as beside:
            (beside / "deep").mkdir()
            private = beside / "deep" / "a"
            private.touch()
            private.chmod(0o600)
        with write_file(tmp_path / "b") as beside:
            beside.unlink()
            beside.touch(mode=0o600)
    finally:
        os.umask(before)
    for path in tmp_path.rglob("*"):
        expected = (0o777 if path.is_dir() else 0o666) & ~umask
        assert path.stat().st_mode & 0o777 == expected, path


def test_nobody_else_renames_but_the_cache():
    """Its files and folders are named by their content, and what is put aside is swept."""
    sources = Path(atomic_write.__file__).parents[1]
    found = {
        path.relative_to(sources).as_posix()
        for path in sources.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and (node.func.attr in ("rename", "renames", "move") or _replaces_a_path(node))
    }
    of_cache = {name for name in found if name.startswith("data/")}
    of_cache.add("models/inference/ctranslate2_conversion.py")
    assert found - of_cache == {"core/atomic_write.py"}


def _replaces_a_path(call):
    """Tell `Path.replace` and `os.replace` from `str.replace`, which has two texts."""
    owner = getattr(call.func.value, "id", "")
    return (
        call.func.attr == "replace" and not call.keywords and (len(call.args) == 1 or owner == "os")
    )
