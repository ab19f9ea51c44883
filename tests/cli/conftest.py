"""What tests of the command line share: a folder, commands that must fail, ranks that meet."""

from __future__ import annotations

import socket

import pytest

from nextfill.cli.main import main


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder to stand in, which must stay without a run."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def fails(capsys, here):
    """Run a command that must fail, and return its message on one line."""

    def run(*words: object) -> str:
        before = {path.name for path in here.iterdir()}
        status = main([str(word) for word in words])
        printed = capsys.readouterr()
        assert status == 2, printed.err
        assert printed.out == ""
        assert "Traceback" not in printed.err
        assert {path.name for path in here.iterdir()} == before, "something was left behind"
        lines = printed.err.splitlines()
        at = max(n for n, line in enumerate(lines) if line.startswith("nextfill: "))
        return " ".join(" ".join(lines[at:]).split())

    return run


@pytest.fixture
def meeting() -> dict[str, str]:
    """The environment of two ranks of this machine, but for the number of each."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
