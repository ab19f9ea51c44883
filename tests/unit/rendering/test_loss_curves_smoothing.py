"""The terminal, a notebook and the report tell one smoothed loss."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest

from nextfill.html_report.curves import _smoothed
from nextfill.rendering.loss_curves import Curves, newest_smoothed, smoothed, window_of
from nextfill.terminal import progress_bar as progress
from nextfill.terminal.progress_bar import Terminal

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
