"""The learning rate of each step, by a schedule, in the stages of a run."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from nextfill.config import PlannedStage, Schedule, TrainingConfig
from nextfill.core.amounts import amount

WSD_DECAY_SHARE = 0.2
"""Share of the steps over which warm-up-stable-decay decays."""

FEWEST_DECAYING = 8
"""Steps from which that share is two of them, of which the second has a lower rate."""

TIMESCALE = 10_000
"""Steps of the inverse square root where it has no warm-up; transformers' number."""


def warmup_steps(setting: float, num_steps: int) -> int:
    """Return the warm-up in steps; below 1 the setting is a share of all steps, rounded down.

    The first step of a warm-up has the rate 0, so a very short run had better have none.
    """
    return int(setting * num_steps) if setting < 1 else int(setting)


def decay_start(num_steps: int) -> int:
    """Return the steps that warm-up-stable-decay takes before its decay.

    Example:
        >>> decay_start(100)
        80
    """
    return num_steps - max(1, round(WSD_DECAY_SHARE * num_steps))


def learning_rate_at(
    step: int, *, peak: float, num_steps: int, warmup: int, schedule: Schedule
) -> float:
    """Return the learning rate of a step.

    With s the step, N all steps, w the warm-up's and p the peak, the rate is p s / w while s < w,
    and then

    - linear: p (N - s) / (N - w)
    - cosine: p (1 + cos(pi (s - w) / (N - w))) / 2
    - constant: p
    - inverse_sqrt: p / sqrt(s / w), and without a warm-up p / sqrt((s + t) / t), t = 10,000
    - wsd: p, over the last fifth d of the steps p (N - s) / d

    Args:
        step: The step, counted from 0.
        peak: The rate after the warm-up.
        num_steps: All steps of the schedule; constant and inverse_sqrt do without.
        warmup: Steps of the warm-up.
        schedule: Its name.

    Source:
        transformers' ``get_linear_schedule_with_warmup`` and its sisters for cosine, constant and
        inverse_sqrt, which these equal. The inverse square root: Vaswani et al. 2017, Attention Is
        All You Need, section 5.3. Warm-up-stable-decay: Hu et al. 2024, MiniCPM, section 4; ours
        decays linearly, as in Hagele et al. 2024.

    Example:
        >>> [learning_rate_at(s, peak=1.0, num_steps=4, warmup=0, schedule="linear")
        ...  for s in range(4)]
        [1.0, 0.75, 0.5, 0.25]
        >>> [learning_rate_at(s, peak=1.0, num_steps=99, warmup=2, schedule="inverse_sqrt")
        ...  for s in (0, 1, 2, 8)]
        [0.0, 0.5, 1.0, 0.5]
    """
    if step < warmup:
        return peak * step / max(1, warmup)
    if schedule == "constant":
        return peak
    if schedule == "inverse_sqrt":
        scale = warmup or TIMESCALE
        return peak / math.sqrt((step + scale - warmup) / scale)
    left = (num_steps - step) / max(1, num_steps - warmup)
    if schedule == "linear":
        return peak * max(0.0, left)
    if schedule == "cosine":
        return peak * 0.5 * (1.0 + math.cos(math.pi * (1.0 - max(0.0, left))))
    return peak * min(1.0, max(0.0, (num_steps - step) / (num_steps - decay_start(num_steps))))


def last_stage(training: TrainingConfig, num_steps: int) -> PlannedStage:
    """Return the stage that a run's own settings describe, which ends with all its steps."""
    return PlannedStage(
        end=num_steps,
        num_steps=num_steps,
        learning_rate=training.learning_rate,
        schedule=training.schedule,
        warmup_steps=training.warmup_steps,
        schedule_start=training.schedule_start,
    )


def all_stages(training: TrainingConfig, num_steps: int) -> Sequence[PlannedStage]:
    """Return the stages of a run in their order: one, unless it was given other steps later."""
    return [*(training.stages or ()), last_stage(training, num_steps)]


def stage_at(stages: Sequence[PlannedStage], step: int) -> PlannedStage:
    """Return the stage that takes a step, counted from 0.

    Example:
        >>> first = PlannedStage(end=4, num_steps=4, learning_rate=1.0, schedule="linear")
        >>> stage_at([first, PlannedStage(end=8, num_steps=8, learning_rate=2.0,
        ...                              schedule="linear")], 4).learning_rate
        2.0
    """
    return next((stage for stage in stages if step < stage.end), stages[-1])


def schedule_steps(stage: PlannedStage) -> int:
    """Return the number of steps of a stage's schedule, those before it began left out."""
    return stage.num_steps - (stage.schedule_start or 0)


def rate_notes(stages: Sequence[PlannedStage]) -> Iterator[str]:
    """Yield a note on each stage that is too short for its warm-up, or for the decay of its wsd.

    Example:
        >>> stage = PlannedStage(end=6, num_steps=6, learning_rate=4.0, schedule="linear",
        ...                      warmup_steps=20)
        >>> [*rate_notes([stage])]
        ['the warm-up of 20 steps is not over in 6 steps: the learning rate ends at 1, not at 4']
    """
    for stage in stages:
        warmup, steps = stage_warmup(stage), schedule_steps(stage)
        if 0 < steps <= warmup:
            last = stage.learning_rate * (steps - 1) / warmup
            yield (
                f"the warm-up of {amount(warmup, 'step')} is not over in {amount(steps, 'step')}: "
                f"the learning rate ends at {last:g}, not at {stage.learning_rate:g}"
            )
        elif stage.schedule == "wsd" and 1 < steps < FEWEST_DECAYING:
            yield (
                f"the decay of wsd is its last fifth and begins at the full rate: of "
                f"{amount(steps, 'step')} that is one, so that the learning rate does not fall. "
                f"From {FEWEST_DECAYING} steps on it does"
            )


def stage_warmup(stage: PlannedStage) -> int:
    """Return the steps of a stage's warm-up."""
    return warmup_steps(stage.warmup_steps, schedule_steps(stage))


def stage_rate(stage: PlannedStage, step: int) -> float:
    """Return the learning rate of a step of a run, counted from 0, in its stage."""
    return learning_rate_at(
        step - (stage.schedule_start or 0),
        peak=stage.learning_rate,
        num_steps=schedule_steps(stage),
        warmup=stage_warmup(stage),
        schedule=stage.schedule,
    )


def stage_progress(stage: PlannedStage, step: int) -> float:
    """Return the share of a run before a step, by which masks change; 1 after a second warm-up."""
    return 1.0 if stage.schedule_start else min(1.0, step / max(1, stage.num_steps - 1))


def branching_checkpoint(stage: PlannedStage) -> int | None:
    """Return the last step from which a longer run has the same rates, if that is not the last.

    Only warm-up-stable-decay has one, the beginning of its decay.
    """
    if stage.schedule != "wsd":
        return None
    return (stage.schedule_start or 0) + decay_start(schedule_steps(stage))
