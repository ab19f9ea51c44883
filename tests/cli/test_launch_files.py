"""The files of docs/launch, by which a cluster's scheduler starts a training."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

from nextfill.config import TrainConfig
from nextfill.config.options import settings

FOLDER = Path(__file__).parents[2] / "docs" / "launch"
FILES = sorted(FOLDER.iterdir())


def scripts(path):
    """Return the scripts in a launch file."""
    if path.suffix == ".sh":
        return [path.read_text("utf-8")]
    found = []
    for document in yaml.safe_load_all(path.read_text("utf-8")):
        if "run" in document:  # SkyPilot's
            found += [document["setup"], document["run"]]
        elif document["kind"] == "Job":
            found += document["spec"]["template"]["spec"]["containers"][0]["args"]
    return found


def test_there_is_one_for_each_scheduler():
    assert [path.name for path in FILES] == ["kubernetes.yaml", "skypilot.yaml", "slurm.sh"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_scripts_are_bash_and_their_flags_are_ours(path):
    known = {one.flag for one in settings(TrainConfig)} | {"--resume"}
    for script in scripts(path):
        subprocess.run(["bash", "-n"], input=script, text=True, check=True)
        for words in re.findall(r"settings=[\"(](.*?)[\")]", script) + re.findall(
            r"-m nextfill train (.*)", script
        ):
            flags = {word for word in shlex.split(words) if word.startswith("--")}
            assert flags <= known, path
    assert any("-m nextfill train" in script for script in scripts(path))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_job_that_was_taken_away_goes_on(path):
    whole = "\n".join(scripts(path))
    assert "--resume" in whole
    assert re.search(r"-e (\$run|/shared/run)/config\.toml", whole)
    assert "--max-restarts 3" in whole
    assert "NEXTFILL_CACHE" in path.read_text("utf-8")
