"""Progress in a real kernel: one display, brought up to date in place."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbclient
import nbformat
import pytest

import nextfill
from nextfill.core.progress import Silent
from nextfill.terminal.notebook import choose_observer, in_notebook
from nextfill.terminal.progress_bar import Terminal

SOURCES = str(Path(nextfill.__file__).parents[1])

DRIVE = """
import math
from nextfill.evaluation.figures import Evaluation
from nextfill.terminal import notebook

notebook.DRAW_EVERY_S = 0.0
observer = notebook.choose_observer(quiet=None)
def evaluation(perplexity):
    return Evaluation(9.0, 3, 1, 2, 8, 8, perplexity, 2.0, 2.0, 2.0, 1.5, 0.1, (4.0, math.inf), 0.5)
def step(number):
    event = {"event": "step", "step": number, "nats": 40.0 - number, "targets": 10}
    observer.on_step(event, {"tokens": 100, "elapsed_s": 0.1})
"""
TRAIN = """
observer.on_stage("reading <notes>.txt", 3_000_000, 0)
observer.on_note("a <b>note</b>\\x1b[2J")
observer.on_evaluation(0, evaluation(20.0), "held-out")
observer.on_sample(0, "the river", "the river <script>alert(1)</script>")
observer.on_start(0, 20)
for number in range(1, 21):
    step(number)
observer.on_stage("evaluating", 2, 2)
observer.on_evaluation(20, evaluation(10.0), "held-out")
observer.on_end()
"""
QUICK = """
observer = notebook.choose_observer(quiet=None)
observer.on_stage("evaluating", 1, 2)
observer.on_stage("evaluating", 2, 2)
observer.on_end()
notebook.FIRST_DRAWN_S = 0.0
"""
ONLY_A_BAR = """
observer = notebook.choose_observer(quiet=None)
observer.on_stage("evaluating", 1, 2)
observer.on_end()
"""
CHOICE = """
kinds = [type(notebook.choose_observer(quiet=quiet)).__name__ for quiet in (None, False, True)]
print(kinds, notebook.in_notebook())
import tqdm.auto
"""


@pytest.fixture(scope="module")
def outputs() -> list[list[Any]]:
    """What each cell shows when it runs in a kernel."""
    sources = (DRIVE, TRAIN, QUICK, ONLY_A_BAR, CHOICE)
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    book = nbformat.v4.new_notebook(cells=cells)
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = SOURCES  # where the kernel finds the package under test
    try:
        nbclient.NotebookClient(book, timeout=120, kernel_name="python3").execute()
    finally:
        os.environ.pop("PYTHONPATH") if before is None else os.environ.update(PYTHONPATH=before)
    return [cell.outputs for cell in book.cells]


def test_a_run_is_one_display(outputs: list[list[Any]]) -> None:
    (shown,) = outputs[1]
    assert shown.output_type == "display_data"
    text = shown.data["text/plain"]
    assert text.startswith("training: step 20 of 20, loss 2.")
    assert text.endswith("1,000 tokens/s, 0:00 left")


def test_it_shows_the_bar_the_curve_the_points_and_the_sample(outputs: list[list[Any]]) -> None:
    page = outputs[1][0].data["text/html"]
    assert re.search('<progress [^>]*value="20" max="20"', page)
    assert page.count("<svg") > 2
    assert 'data-name="training, smoothed"' in page
    assert page.count("<circle") == 3  # two evaluations, and the legend
    assert "step 20: held-out perplexity 10.00, 1.500 bits per byte" in page
    assert "<strong>the river</strong> &lt;script&gt;" in page
    assert "<script" not in page
    assert "<b>" not in page
    assert "\x1b" not in page


def test_a_bar_alone_is_taken_away_at_the_end(outputs: list[list[Any]]) -> None:
    (shown,) = outputs[3]
    assert shown.data["text/html"] == ""


def test_what_is_quick_leaves_no_trace(outputs: list[list[Any]]) -> None:
    assert outputs[2] == []


def test_a_notebook_shows_progress_unless_it_is_to_be_quiet(outputs: list[list[Any]]) -> None:
    assert len(outputs[4]) == 1  # and no warning of tqdm's
    assert outputs[4][0].text == "['Notebook', 'Notebook', 'Silent'] True\n"


def test_a_script_is_silent_unless_it_is_not_to_be() -> None:
    assert not in_notebook()
    kinds: Callable[[bool | None], type] = lambda quiet: type(choose_observer(quiet=quiet))  # noqa: E731
    assert [kinds(None), kinds(False), kinds(True)] == [Silent, Terminal, Silent]
