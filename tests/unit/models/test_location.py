"""The run directory that a model's name leads to."""

from __future__ import annotations

from pathlib import Path

import pytest

from nextfill.models.folder.location import run_above, run_of


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "a run"
    (folder / "model").mkdir(parents=True)
    (folder / "config.toml").touch()
    (folder / "ledger.json").touch()
    return folder


def test_a_run_is_named_by_itself_or_by_its_model(run):
    assert run_of(str(run)) == run
    assert run_of(str(run / "model")) == run
    assert run_above(run / "model") == run
    assert run_above(run) is None


def test_a_folder_that_no_training_began_is_no_run(run, tmp_path):
    (run / "ledger.json").unlink()
    assert run_of(str(run)) is None
    assert run_above(run / "model") is None
    assert run_of(str(tmp_path / "a run" / "checkpoints")) is None
    assert run_of("gpt2") is None
