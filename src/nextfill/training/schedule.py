"""Learning rates as a function of the step."""

from __future__ import annotations

import math

from nextfill.config import Schedule

WSD_DECAY_SHARE = 0.2
"""Share of the steps over which warm-up-stable-decay decays."""


def warmup_steps(setting: float, num_steps: int) -> int:
    """Return the warm-up in steps; below 1 the setting is a share of all steps, rounded down.

    The first step of a warm-up has the rate 0, so a very short run had better have none.
    """
    return int(setting * num_steps) if setting < 1 else int(setting)


def learning_rate_at(
    step: int, *, peak: float, num_steps: int, warmup: int, schedule: Schedule
) -> float:
    """Return the learning rate of one step.

    Source:
        Warm-up-stable-decay: Hu et al. 2024, MiniCPM, section 4; ours decays linearly, as in
        Hagele et al. 2024.

    Example:
        >>> [learning_rate_at(s, peak=1.0, num_steps=4, warmup=0, schedule="linear")
        ...  for s in range(4)]
        [1.0, 0.75, 0.5, 0.25]
    """
    if step < warmup:
        return peak * step / max(1, warmup)
    left = (num_steps - step) / max(1, num_steps - warmup)
    if schedule == "linear":
        return peak * max(0.0, left)
    if schedule == "cosine":
        return peak * 0.5 * (1.0 + math.cos(math.pi * (1.0 - max(0.0, left))))
    decay = max(1, round(WSD_DECAY_SHARE * num_steps))
    return peak * min(1.0, max(0.0, (num_steps - step) / decay))
