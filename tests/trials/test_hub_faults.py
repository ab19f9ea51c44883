"""Everything that can go wrong while a run is shared: what the Hub holds then, what is told."""

from __future__ import annotations

import hashlib
import threading
import time
from pathlib import Path

import pytest

from nextfill.cli.main import main
from tests.hub.client import TOKEN, User
from tests.hub.server import Fault, Hub

pytestmark = [
    pytest.mark.trial,
    pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning"),
]

CALLS = ("whoami", "info", "create", "validate", "preupload", "batch", "put", "verify", "commit")
FAULTS = {
    **{str(status): {"status": status} for status in (400, 401, 403, 404, 409, 412, 500, 503)},
    "429": {"status": 429, "headers": {"Retry-After": "3600"}},
    "429 soon": {"status": 429, "headers": {"Retry-After": "1"}},
    "cut before": {"cut": "before"},
    "cut after": {"cut": "after"},
    "slow": {"delay_s": 4.0},
}
FILES = {"model.safetensors": b"weights " * 1000, "tokenizer.json": b"{}", "config.json": b"{}"}


@pytest.fixture(scope="module")
def hub():
    with Hub() as hub:
        yield hub


@pytest.fixture
def here(hub, tmp_path, monkeypatch):
    """The Hub for this very process, and limits that a trial can wait for."""
    from huggingface_hub import constants

    for holds in (hub.repos, hub.stored, hub.faults, hub.calls):
        holds.clear()
    User(hub, tmp_path / "home")
    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr("logging.raiseExceptions", False)  # its handler has an older test's stderr
    for name in ("PATIENCE_S", "ANSWER_S", "COMMIT_S"):
        monkeypatch.setattr(f"nextfill.core.hub_client.{name}", 2.0)
    return hub


@pytest.fixture
def run(make_run, tmp_path):
    run = make_run(tmp_path / "run")
    for name, content in FILES.items():
        (run / "model" / name).write_bytes(content)
    return run


def digest(folder: Path) -> str:
    """Return what changes when any file of a folder does, but for the card, which may be made."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != "README.md")
    return hashlib.sha256(b"".join(str(p).encode() + p.read_bytes() for p in files)).hexdigest()


def assert_shared(hub: Hub, commits: int) -> None:
    repo = hub.repos["models", "me/model"]
    assert {name: repo.head[name] for name in FILES} == FILES
    assert b"nextfill generate me/model" in repo.head["README.md"]
    assert len(repo.order) == commits


@pytest.mark.parametrize(
    ("times", "exists"), [(1, False), (-1, True)], ids=["once, new", "always, exists"]
)
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("call", CALLS)
def test_a_fault(here, run, capfd, call, fault, times, exists):
    if exists:
        here.add("me/model", {"config.json": b"old", "notes.txt": b"theirs"})
    before = digest(run)
    here.faults.append(Fault(call, times=times, **FAULTS[fault]))
    start = time.monotonic()
    status = main(["share", str(run), "me/model"])
    assert time.monotonic() - start < 15
    told = capfd.readouterr()
    if status == 0:
        assert_shared(here, commits=2)
    else:
        assert status == 2
        assert told.out == ""
        assert f"Try again with:\n  nextfill share {run} me/model" in told.err
        repo = here.repos.get(("models", "me/model"))
        if not (call == "commit" and repo and len(repo.order) == 2):
            assert repo is None or len(repo.order) == 1
    assert digest(run) == before
    here.faults.clear()
    assert main(["share", str(run), "me/model"]) == 0
    told_again = capfd.readouterr()
    assert_shared(here, commits=2)
    if exists:
        assert here.repos["models", "me/model"].head["notes.txt"] == b"theirs"
    for text in (told.out, told.err, told_again.out, told_again.err):
        assert TOKEN not in text
        assert "Traceback" not in text


def test_somebody_else_commits_meanwhile(here, run, capfd):
    repo = here.add("me/model", {})
    here.faults.append(Fault("put", delay_s=1.0))
    other = threading.Timer(0.5, lambda: repo.commit({**repo.head, "notes.txt": b"theirs"}))
    other.start()
    assert main(["share", str(run), "me/model"]) == 2
    other.join()
    assert "somebody has changed it meanwhile (412)" in capfd.readouterr().err
    assert main(["share", str(run), "me/model"]) == 0
    assert repo.head["notes.txt"] == b"theirs"
    assert_shared(here, commits=3)


@pytest.mark.parametrize("call", ["info", "preupload", "put", "commit"])
def test_a_hub_that_never_answers_is_given_up_within_a_minute(hub, run, tmp_path, call):
    for holds in (hub.repos, hub.stored, hub.faults):
        holds.clear()
    user = User(hub, tmp_path / "home")
    hub.faults.append(Fault(call, delay_s=100.0, times=-1))
    done = user.run("share", run, "me/model", cwd=tmp_path)
    hub.faults.clear()
    assert done.status == 2
    assert done.elapsed_s < 70
    assert "Try again with:" in done.err


def test_a_storage_by_xet_that_is_down_is_given_up_within_a_minute(hub, run, tmp_path):
    for holds in (hub.repos, hub.stored, hub.faults, hub.calls):
        holds.clear()
    user = User(hub, tmp_path / "home")
    hub.xet = True
    done = user.run("share", run, "me/model", cwd=tmp_path, HF_HUB_DISABLE_XET="0")
    hub.xet = False
    assert hub.calls["xet"] > 0
    assert done.status == 2
    assert done.elapsed_s < 60
    assert "503" in done.err
    assert "Try again with:" in done.err
