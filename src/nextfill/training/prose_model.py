"""Advice where a bundled model meets a person's own text: the model for prose, and its cost."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch

from nextfill.config import Precision
from nextfill.config.prefixes import BUILTIN
from nextfill.training.setup import Setup

STEP_SHARE = 0.62
"""Share of a training step that is matrix products, by a profile of DistilGPT2 on a processor."""

ROWS, WIDTH = 1024, 768
"""Of the matrices that are multiplied to measure a machine, as those of such models are."""

_MEASURED_S = 0.15


@dataclass(frozen=True)
class ProseModel:
    """A model of the Hub that has read prose, and is small enough for any machine.

    Args:
        name: Its id on the Hub.
        megabytes: Its weights' size, in millions of bytes.
        parameters: Its parameters.
    """

    name: str
    megabytes: int
    parameters: int


PROSE_MODELS = {
    "causal": ProseModel("distilbert/distilgpt2", 353, 81_912_576),
    "masked": ProseModel("distilbert/distilroberta-base", 331, 82_170_201),
}
"""The model to bring, by objective."""


def prose_advice(setup: Setup) -> str | None:
    """Return what to know and to type where a bundled model meets text that is not built in."""
    config = setup.config
    own_text = [one for one in config.data.each if not one.source.startswith(BUILTIN)]
    if not config.model.name.startswith(BUILTIN) or not own_text:
        return None
    if setup.teacher is not None:  # whose vocabulary another model does not have
        return None
    model = PROSE_MODELS[setup.loaded.objective]
    tokens = round(setup.num_steps * _tokens_per_step(setup))
    precision: Precision = "bf16" if config.precision == "bf16" else "fp32"
    speed = matrix_speed(setup.loaded.device, precision)
    seconds = training_seconds(model.parameters, tokens, speed)
    return (
        f"{config.model.name} has read only documentation: it is there to try things with, and "
        f"writes no prose. For prose add: --model {model.name} ({model.megabytes} MB to download, "
        f"once). Its training takes {rough_time(seconds)} here: 6 x {model.parameters / 1e6:.0f} "
        f"million parameters x {tokens:,} tokens, at {STEP_SHARE:.0%} of the {speed / 1e9:,.0f} "
        "GFLOP/s just measured."
    )


def _tokens_per_step(setup: Setup) -> float:
    """Return the tokens of a step, of which the last one of an epoch may have fewer blocks.

    A stream's first portion says what its blocks hold, and not how many there are of them.
    """
    plan, size = setup.plan, setup.config.training.batch_size
    if setup.stream is None:
        return plan.placed_tokens / setup.feed.interval
    return size * plan.placed_tokens / max(1, plan.num_blocks)


def training_seconds(parameters: int, tokens: int, speed: float) -> float:
    """Return the time of a training, roughly.

    Args:
        parameters: The model's.
        tokens: Those of all steps together.
        speed: Floating-point operations per second of matrix products.

    Source:
        Kaplan et al. 2020, Scaling Laws for Neural Language Models, section 2.1: 6 operations a
        parameter and token, forward and backward.

    Example:
        >>> round(training_seconds(82_000_000, 1024 * 100, 700e9))
        116
    """
    return 6 * parameters * tokens / (STEP_SHARE * speed)


def matrix_speed(device: torch.device, precision: Precision) -> float:
    """Measure floating-point operations per second of matrix products, in a sixth of a second."""
    kind = torch.bfloat16 if precision == "bf16" else torch.float32
    left = torch.ones(ROWS, WIDTH, dtype=kind, device=device)
    right = torch.ones(WIDTH, WIDTH, dtype=kind, device=device)
    (left @ right)[0, 0].item()  # the first one is slow
    times: list[float] = []
    while sum(times) < _MEASURED_S or len(times) < 3:
        began_s = time.perf_counter()
        (left @ right)[0, 0].item()  # waits for a device that works beside
        times.append(time.perf_counter() - began_s)
    return 2 * ROWS * WIDTH * WIDTH / sorted(times)[len(times) // 2]


def rough_time(seconds: float) -> str:
    """Return a time that is known roughly, in its largest unit.

    Example:
        >>> rough_time(20), rough_time(100), rough_time(4000), rough_time(9000), rough_time(3e5)
        ('under a minute', 'about 2 minutes', 'about 67 minutes', 'about 2.5 hours', 'about 3.5 days')
    """  # noqa: E501 - a line of output
    if seconds < 60:
        return "under a minute"
    if seconds < 90:
        return "about a minute"
    if seconds < 90 * 60:
        return f"about {seconds / 60:.0f} minutes"
    hours = seconds / 3600
    return f"about {hours:.1f} hours" if hours < 48 else f"about {hours / 24:.1f} days"
