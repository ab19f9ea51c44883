"""Settings of a training that do not go together, or lack another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, replace

from nextfill.config import EvaluateConfig, LoraConfig, Objective, TrainConfig
from nextfill.config.options import Assignment, settings
from nextfill.config.prefixes import CAUSAL_BASE
from nextfill.config.problems.distillation_problems import distillation_problems
from nextfill.config.problems.infilling_problems import infilling_problems
from nextfill.config.recipe_file import encoding_problems
from nextfill.config.shorthands import normal_form

MAX_STEPS, EPOCHS = ("training", "max_steps"), ("training", "epochs")

TRAINING_MASK_RATES = {("masking", "rate_start"), ("masking", "rate_end")}
"""Shares that a training hides, and no evaluation does."""

OF_ADAMW_ALONE = {"sgd": ("beta2", "epsilon"), "adafactor": ("beta1", "beta2", "epsilon")}
"""Settings that another optimizer does without."""


def train_contradictions(
    config: TrainConfig, every: Sequence[Assignment], typed: Sequence[Assignment]
) -> Iterator[str]:
    """Yield the contradictions between settings of a training, each valid by itself.

    Args:
        config: The settings, merged.
        every: All that were given, in normal form, of whatever layer.
        typed: The topmost layer of them.
    """
    yield from optimizer_problems(config, typed)
    yield from distillation_problems(config, every)
    yield from infilling_problems(config, typed)
    yield from replay_problems(config, typed)
    is_causal = config.objective is None and config.model.name == CAUSAL_BASE
    yield from mask_problems("causal" if is_causal else config.objective or "masked", typed)
    yield from adapter_problems(config, typed)
    yield from quantization_problems(config)
    yield from encoding_problems(asdict(config))


def optimizer_problems(config: TrainConfig, layer: Sequence[Assignment]) -> Iterator[str]:
    """Yield the settings among those that were typed which the optimizer does not have."""
    kind = config.training.optimizer
    for item in normal_form(TrainConfig, layer):
        if item.path[0] == "training" and item.path[-1] in OF_ADAMW_ALONE.get(kind, ()):
            yield f"{item.label} is a number of AdamW's, and --optimizer {kind} has none such."


def replay_problems(config: TrainConfig, layer: Sequence[Assignment]) -> Iterator[str]:
    """Yield what replay lacks, or what contradicts it.

    Example:
        >>> layer = [Assignment(("replay", "share"), 0.05, "--replay")]
        >>> print(next(replay_problems(TrainConfig(), layer))[-48:])
        name it, as in --replay-data builtin:stdlib-docs
    """
    replay = config.replay
    if replay.source is None:
        typed = [one.label for one in layer if one.path[0] == "replay"]
        for label in dict.fromkeys(typed):
            yield (
                f"{label} is of general text that is mixed in, and there is none: name it, as in "
                "--replay-data builtin:stdlib-docs"
            )
        return
    flag = f"--replay-data {replay.source}"
    if any(one.streaming for one in config.data.each):
        yield f"{flag} counts blocks, and --streaming begins before there are any: leave one out."
    if "replay" in config.evaluation.sets:
        yield f"[evaluation.replay]: {flag} makes a set of that name: give yours another one."


def steps_problems(layer: Iterable[Assignment]) -> Iterator[str]:
    """Yield a problem where a layer in normal form says twice how long training takes.

    Example:
        >>> given = [Assignment(("training", "epochs"), 3.0, "--epochs")]
        >>> given += [Assignment(("training", "max_steps"), 9, "--max-steps")]
        >>> print(*steps_problems(given))
        --epochs and --max-steps both say how long training takes: leave one of them out.
    """
    labels = {item.path: item.label for item in layer if item.value is not None}
    if labels.keys() >= {EPOCHS, MAX_STEPS}:
        yield (
            f"{labels[EPOCHS]} and {labels[MAX_STEPS]} both say how long training takes: leave one "
            "of them out."
        )


def with_later_length(config: TrainConfig, layer: Iterable[Assignment]) -> TrainConfig:
    """Return settings without the steps of a layer below one in normal form that gives epochs."""
    places = {item.path for item in layer}
    if EPOCHS not in places or MAX_STEPS in places:
        return config
    return replace(config, training=replace(config.training, max_steps=None))


def adapter_problems(config: TrainConfig, layer: Iterable[Assignment]) -> Iterator[str]:
    """Yield the settings of an adapter in a layer in normal form that are as without one.

    Others are refused when the model is there, which may have an adapter already, and be merged.
    """
    plain = asdict(LoraConfig())
    for item in layer:
        is_other = item.path[0] != "lora" or item.value is None or item.path[-1] == "merge"
        if is_other or config.lora.rank is not None:
            continue
        if getattr(config.lora, item.path[-1]) == plain[item.path[-1]]:
            yield f"{item.label} is of an adapter: give --lora-rank 16, too, or leave it out."


def quantization_problems(config: TrainConfig) -> Iterator[str]:
    """Yield what an adapter over weights of 4 bits cannot begin as.

    Example:
        >>> lora = LoraConfig(rank=4, quantization="nf4", init="pissa")
        >>> [problem] = quantization_problems(TrainConfig(lora=lora))
        >>> problem[-47:]
        'leave one of them out, or give --lora-init eva.'
    """
    lora = config.lora
    if lora.quantization != "none" and lora.init in ("pissa", "olora"):
        yield (
            f"--lora-quantization {lora.quantization}: an adapter that begins as a part of the "
            f"weights (--lora-init {lora.init}) changes those that are held in 4 bits: leave one "
            "of them out, or give --lora-init eva."
        )


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


def mask_problems(
    objective: Objective | None, layer: Iterable[Assignment], model: str = ""
) -> Iterator[str]:
    """Yield the settings of masks, a layer in normal form, where nothing is masked.

    Args:
        objective: The objective, as far as it is known.
        layer: The settings.
        model: The name of a model that was loaded, and masks nothing whatever is asked for.

    Example:
        >>> layer = [Assignment(("masking", "rate"), 0.15, "--mask-rate")]
        >>> print(*mask_problems("causal", layer))
        --mask-rate: masks are for masked models. Give --objective masked, too, or leave this out.
        >>> print(*mask_problems("causal", layer, "gpt2"))
        --mask-rate: masks are for masked models, and gpt2 is a causal one: leave this out.
    """
    masks = [item.label for item in layer if _is_of_masks(item.path) and item.value is not None]
    if masks and objective != "masked":
        masks = list(dict.fromkeys(masks))
        found = f", and {model} is a causal one:" if model else ". Give --objective masked, too, or"
        yield f"{' and '.join(masks)}: masks are for masked models{found} leave this out."


def unusual_masks(config: TrainConfig | EvaluateConfig) -> list[Assignment]:
    """Return the settings of masks whose values are not the defaults.

    Example:
        >>> from nextfill.config import MaskingConfig
        >>> [one.label for one in unusual_masks(TrainConfig(masking=MaskingConfig(rate=0.3)))]
        ['--mask-rate']
    """
    root: type = type(config)
    of_masks = (one for one in settings(root) if _is_of_masks(one.path))
    valued = ((one, getattr(getattr(config, one.path[0]), one.path[1])) for one in of_masks)
    return [Assignment(one.path, at, one.flag) for one, at in valued if at != one.default]


def _is_of_masks(path: tuple[str, ...]) -> bool:
    return path[0] == "masking" or path == ("evaluation", "mask_seed")


def training_mask_problems(layer: Iterable[Assignment]) -> Iterator[str]:
    """Yield the masking rates of training, in a layer in normal form, where no step is taken."""
    for item in layer:
        if item.path in TRAINING_MASK_RATES:
            yield f"{item.label} is for training: leave it out, here --mask-rate holds throughout."
