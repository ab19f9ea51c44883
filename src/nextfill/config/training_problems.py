"""Settings of a training that do not go together, or lack another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from nextfill.config import Objective, TrainConfig
from nextfill.config.options import Assignment
from nextfill.config.shorthands import normal_form

OF_ADAMW_ALONE = {"sgd": ("beta2", "epsilon"), "adafactor": ("beta1", "beta2", "epsilon")}
"""Settings that another optimizer does without."""


def optimizer_problems(config: TrainConfig, layer: Sequence[Assignment]) -> Iterator[str]:
    """Yield the settings among those that were typed which the optimizer does not have."""
    kind = config.training.optimizer
    for item in normal_form(TrainConfig, layer):
        if item.path[0] == "training" and item.path[-1] in OF_ADAMW_ALONE.get(kind, ()):
            yield f"{item.label} is a number of AdamW's, and --optimizer {kind} has none such."


def stream_problems(config: TrainConfig) -> Iterator[str]:
    """Yield what training on text as it comes needs, and what it cannot do."""
    each = config.data.each
    if not any(one.streaming for one in each):
        return
    if rate := config.infilling.rate:
        yield (
            f"--fim-rate {rate:g} cuts text that is read before the first step, and --streaming "
            "reads it as it comes: leave that out, or give --fim-rate 0."
        )
    if config.training.max_steps is None:
        yield (
            "--streaming begins before the text is counted, and the learning rate depends on the "
            "number of steps: give it, as in --max-steps 1000."
        )
    if len(each) > 1:
        yield f"--streaming reads one source, and here are {len(each)}: name one."


def mask_problems(objective: Objective | None, layer: Iterable[Assignment]) -> Iterator[str]:
    """Yield the settings of masks, a layer in normal form, where nothing is masked.

    Example:
        >>> layer = [Assignment(("masking", "rate"), 0.15, "--mask-rate")]
        >>> print(*mask_problems("causal", layer))
        --mask-rate: masks are for masked models. Give --objective masked, too, or leave this out.
    """
    masks = [item.label for item in layer if item.path[0] == "masking"]
    if masks and objective != "masked":
        yield (
            f"{' and '.join(dict.fromkeys(masks))}: masks are for masked models. Give --objective "
            "masked, too, or leave this out."
        )
