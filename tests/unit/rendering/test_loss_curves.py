"""Loss curves of a run, and the one smoothing of terminal, notebook and report."""

from __future__ import annotations

import json
import math
import re

import numpy as np
import pytest

from nextfill.html_report.curves import _smoothed
from nextfill.html_report.page import render
from nextfill.rendering.loss_curves import Curves, curves_of, newest_smoothed, smoothed, window_of
from nextfill.runs.reader import read_run
from nextfill.terminal import progress_bar as progress
from nextfill.terminal.progress_bar import Terminal


def step(number, loss):
    return {"event": "step", "step": number, "nats": 10 * loss, "targets": 10}


def evaluation(number, perplexity, interval):
    return {"event": "evaluation", "step": number, "perplexity": perplexity, "interval": interval}


def points(chart, name):
    found = re.search(f'data-name="{name}" data-x="([^"]*)" data-y="([^"]*)"', chart)
    return [[float(value) for value in found[at].split()] for at in (1, 2)]


def test_losses_are_nats_per_token_and_held_out_perplexities_stand_among_them():
    curves = curves_of(
        [
            evaluation(0, math.e**3, [math.e**2, math.e**4]),
            {"event": "sample", "step": 0, "prompt": "a", "text": "ab"},
            step(1, 3.0),
            step(2, 2.0),
            evaluation(2, math.e**2, [None, math.inf]),
        ]
    )
    chart = curves.loss_chart()
    assert points(chart, "training") == [[1, 2], [3.0, 2.0]]
    assert points(chart, "held-out") == [[0, 2], pytest.approx([3.0, 2.0])]
    assert "smoothed" not in chart
    held_out = curves.perplexity_chart()
    assert points(held_out, "held-out")[1] == [math.e**3, math.e**2]


def test_further_sets_and_validation_have_curves_of_their_own():
    curves = curves_of(
        [
            evaluation(0, 9.0, [8.0, 10.0]),
            {**evaluation(0, 7.0, [6.0, 8.0]), "set": "general"},
            {"event": "validation", "step": 0, "nats": 2.0, "targets": 1, "perplexity": 5.0},
        ]
    )
    chart = curves.perplexity_chart()
    found = {name: points(chart, name)[1] for name in ("held-out", "general", "validation")}
    assert found == {"held-out": [9.0], "general": [7.0], "validation": [5.0]}
    assert len(set(re.findall("nf-line nf-dashed (nf-c[0-9])", chart))) == 3


def test_the_terminal_a_notebook_and_the_report_smooth_by_one_rule(make_run, tmp_path, capsys):
    """Of targets that differ, so that a mean of losses would be another number."""
    run = make_run(tmp_path / "run", steps=60)
    events = [json.loads(line) for line in (run / "events.jsonl").read_text("utf-8").splitlines()]
    terminal, curves = Terminal(), Curves()
    terminal.on_start(0, 60)
    for event in (event for event in events if event["event"] == "step"):
        terminal.on_step(event, {"tokens": 1, "elapsed_s": 0.1})
        curves.add(event)
    notebook = points(curves.loss_chart(), "training, smoothed")[1]
    report = re.search(
        'data-figure="curve/loss/smooth"[^>]*data-y="([^"]*)"', render(read_run(run))
    )
    assert notebook == pytest.approx([float(value) for value in report[1].split()], rel=1e-6)
    last = sum(curves.nats[-5:]) / sum(curves.targets[-5:])
    assert notebook[-1] == pytest.approx(last, rel=1e-6)
    assert f"60/60  loss {last:.3f}" in capsys.readouterr().err


def test_a_long_run_stays_small_and_nothing_is_drawn_of_nothing():
    curves = curves_of([step(number, 1.0 + number % 7) for number in range(1, 20_001)])
    assert len(curves.loss_chart()) < 50_000
    assert Curves().loss_chart() == ""
    assert Curves().perplexity_chart() == ""


RNG = np.random.default_rng(3)


def run(num_steps: int) -> tuple[list[float], list[float]]:
    """Return nats and targets of steps, of some of them none."""
    targets = RNG.integers(0, 40, num_steps).astype(float)
    return (targets * RNG.uniform(1, 6, num_steps)).tolist(), targets.tolist()


@pytest.mark.parametrize("num_steps", [1, 5, 11, 140, 600])
def test_it_is_the_ratio_of_the_sums_of_the_last_steps(num_steps: int) -> None:
    nats, targets = run(num_steps)
    window = window_of(num_steps)
    for at, found in enumerate(smoothed(nats, targets)):
        first = max(0, at + 1 - window)
        above, below = sum(nats[first : at + 1]), sum(targets[first : at + 1])
        assert found == pytest.approx(above / below if below else math.nan, nan_ok=True)
    assert newest_smoothed(nats, targets) == pytest.approx(found, nan_ok=True)


@pytest.mark.parametrize("num_steps", [11, 140])
def test_all_who_tell_it_agree(
    num_steps: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "PLAIN_EVERY_S", 0.0)
    nats, targets = run(num_steps)
    terminal, curves = Terminal(), Curves()
    terminal.on_start(0, num_steps)
    for step, (above, below) in enumerate(zip(nats, targets, strict=True), start=1):
        event = {"event": "step", "step": step, "nats": above, "targets": below}
        terminal.on_step(event, {"tokens": 100, "elapsed_s": 0.1})
        curves.add(event)
    line = capsys.readouterr().err.splitlines()[-1]
    steps = np.arange(1.0, num_steps + 1)
    report = _smoothed("loss", steps, np.array(nats), np.array(targets))[-1].y[-1]
    assert float(re.findall(r"loss ([\d.]+)", line)[0]) == pytest.approx(report, abs=6e-4)
    assert smoothed(curves.nats, curves.targets)[-1] == pytest.approx(report)
