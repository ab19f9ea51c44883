"""The notebooks run in a kernel; the command line gives the figures of the first one.

Takes a few minutes.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbclient
import nbformat
import pytest

import nextfill
from nextfill.runs.reader import train_result

pytestmark = pytest.mark.trial

DOCS = Path(__file__).parents[2] / "docs"
GUIDE, GUIDES = DOCS / "guide.ipynb", DOCS / "guides.ipynb"
SOURCES = str(Path(nextfill.__file__).parents[1])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("guide")


@pytest.fixture(scope="module")
def book(folder: Path) -> Any:
    """The notebook after it ran."""
    return run(GUIDE, folder)


def run(notebook: Path, folder: Path) -> Any:
    """Run a notebook in a folder, without a network."""
    book = nbformat.read(notebook, as_version=4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", SOURCES)
        patch.setenv("HF_HUB_OFFLINE", "1")
        resources = {"metadata": {"path": str(folder)}}
        nbclient.NotebookClient(book, timeout=600, resources=resources).execute()
    return book


def cell(book: Any, name: str) -> Any:
    return next(one for one in book.cells if one.id == name)


def shown(book: Any, name: str, kind: str = "text/html") -> str:
    """Return what a cell shows last: its value, if it has one."""
    return str([one.data[kind] for one in cell(book, name).outputs if "data" in one][-1])


def printed(book: Any, name: str) -> str:
    texts = (one.text for one in cell(book, name).outputs if one.get("name") == "stdout")
    return "".join(texts)


def command(folder: Path, words: list[str]) -> Any:
    """Run a command of the notebook's in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": SOURCES}
    line = [sys.executable, "-m", "nextfill", *words[1:], "--json"]
    done = subprocess.run(
        line, cwd=folder, env=environment, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def test_training_is_shown_as_one_display_and_its_result_as_a_card(book: Any) -> None:
    page = shown(book, "training")
    assert 'data-name="training, smoothed"' in page
    assert re.search('<progress [^>]*value="([0-9]+)" max="\\1"', page)
    assert len(cell(book, "training").outputs) == 1
    assert "Perplexity, with 95% interval" in shown(book, "result")
    assert "held out documents" in shown(book, "settings")


def test_it_learns_and_evaluating_the_run_gives_its_figure(book: Any) -> None:
    before, after = map(
        float, re.search(r"perplexity ([\d.]+) -> ([\d.]+)", printed(book, "figures")).groups()
    )
    print(f"perplexity {before} -> {after}")
    assert after < 0.7 * before
    again, recorded = printed(book, "evaluation").split(" and ")
    assert float(again) == pytest.approx(float(recorded), rel=1e-6)
    base, tuned = re.findall(r"([\d.]+) bits per byte", printed(book, "other-evaluation"))
    assert float(tuned) < float(base)


def test_trainer_goes_on_where_we_stopped(book: Any) -> None:
    assert "PackedDataset: " in shown(book, "blocks", "text/plain")
    assert "perplexity" in shown(book, "trainer-evaluation")


def test_the_command_line_gives_the_same_figures(book: Any, folder: Path) -> None:
    text = cell(book, "commands").source.replace("\\\n", " ")
    lines = [line.removeprefix("$") for line in text.splitlines() if line.startswith("$")]
    train, generate, evaluate = (shlex.split(line) for line in lines)
    trained = command(folder, train)
    live = train_result(folder / "runs" / "guide")
    for part in ("before", "after"):
        figures = json.loads(json.dumps(getattr(live, part).to_json()))
        assert trained[part] == figures
    events = [folder / "runs" / name / "events.jsonl" for name in ("guide", "command-line")]
    assert events[0].read_bytes() == events[1].read_bytes()
    texts = [one["generated_text"] for one in command(folder, generate)]
    assert printed(book, "generation") == "".join(f"{text}\n\n" for text in texts)
    assert command(folder, evaluate)["nats"] == pytest.approx(live.after.nats, rel=1e-6)


def test_the_guides_run_call_by_call_and_each_learns(tmp_path: Path) -> None:
    book = run(GUIDES, tmp_path)
    for name in ("perplexity", "masked-perplexity", "keras-fit"):
        words = re.search(r"perplexity ([\d.]+) -> ([\d.]+)", printed(book, name))
        before, after = map(float, words.groups())
        assert after < before, name
    assert printed(book, "fill").count("token_str") == 3
    assert printed(book, "generate").startswith("Returns a tensor")
