"""Learning rates equal transformers' at every step."""

from __future__ import annotations

import pytest
import torch
from transformers import (
    get_constant_schedule_with_warmup,
    get_cosine_schedule_with_warmup,
    get_inverse_sqrt_schedule,
    get_linear_schedule_with_warmup,
)

from nextfill.config import PlannedStage
from nextfill.training.schedule import learning_rate_at, rate_notes, stage_rate, warmup_steps

THEIRS = {
    "linear": get_linear_schedule_with_warmup,
    "cosine": get_cosine_schedule_with_warmup,
    "constant": lambda optimizer, num_warmup_steps, **_: get_constant_schedule_with_warmup(
        optimizer, num_warmup_steps
    ),
    "inverse_sqrt": lambda optimizer, num_warmup_steps, **_: get_inverse_sqrt_schedule(
        optimizer, num_warmup_steps
    ),
}


@pytest.mark.parametrize("schedule", THEIRS)
@pytest.mark.parametrize(("num_steps", "warmup"), [(50, 0), (50, 1), (50, 13), (50, 50), (1, 0)])
def test_rates_equal_transformers(schedule: str, num_steps: int, warmup: int) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=3e-4)
    scheduler = THEIRS[schedule](optimizer, num_warmup_steps=warmup, num_training_steps=num_steps)
    for step in range(num_steps):
        ours = learning_rate_at(
            step,
            peak=3e-4,
            num_steps=num_steps,
            warmup=warmup,
            schedule=schedule,  # type: ignore[arg-type]
        )
        assert ours == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-12, abs=1e-20)
        optimizer.step()
        scheduler.step()


def test_wsd_rises_stays_and_falls_over_the_last_fifth() -> None:
    rates = [
        learning_rate_at(step, peak=1.0, num_steps=20, warmup=4, schedule="wsd")
        for step in range(20)
    ]
    rises, stays, falls = [0.0, 0.25, 0.5, 0.75], [1.0] * 13, [0.75, 0.5, 0.25]
    assert rates == rises + stays + falls


def test_wsd_of_a_single_step_is_the_peak() -> None:
    assert learning_rate_at(0, peak=1.0, num_steps=1, warmup=0, schedule="wsd") == 1.0


@pytest.mark.parametrize(
    ("setting", "steps"), [(0.0, 0), (0.05, 5), (0.001, 0), (0.999, 99), (1.0, 1), (7.0, 7)]
)
def test_warmup_is_a_share_below_one_and_steps_from_one(setting: float, steps: int) -> None:
    assert warmup_steps(setting, 100) == steps


@pytest.mark.parametrize("start", [None, 16])
def test_a_wsd_run_says_where_it_is_too_short_to_fall(start: int | None) -> None:
    for steps in range(1, 12):
        first = start or 0
        stage = PlannedStage(
            end=first + steps,
            num_steps=first + steps,
            learning_rate=1.0,
            schedule="wsd",
            schedule_start=start,
        )
        falls = stage_rate(stage, first + steps - 1) < 1.0
        assert bool([*rate_notes([stage])]) == (not falls and steps > 1), steps
