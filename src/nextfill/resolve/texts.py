"""The settings of texts that are continued or filled in, refused where they contradict."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from nextfill.config import FillConfig, GenerateConfig
from nextfill.given import Given
from nextfill.recipe import build
from nextfill.resolve.files import about_files, refuse

MOST_BEAMS = 100
"""Beams that search for answers of several tokens, each of which is a row of a batch."""


def generate_config(given: Sequence[Given], problems: Sequence[str] = ()) -> GenerateConfig:
    """Return the settings of a generation, refusing those that contradict one another.

    Args:
        given: The settings.
        problems: What was already found wrong.

    Returns:
        The config.

    Raises:
        ConfigError: With every contradiction, once each setting by itself can be used.
    """
    config = build(GenerateConfig, [given], problems)
    refuse(contradictions(config))
    return config


def contradictions(config: GenerateConfig) -> Iterator[str]:
    """Yield what is wrong with settings of which each by itself is right.

    Example:
        >>> from nextfill.config import GenerationConfig
        >>> generation = GenerationConfig(max_new_tokens=5, min_new_tokens=9)
        >>> print(*contradictions(GenerateConfig(generation=generation)))
        --min-new-tokens 9 is above --max-new-tokens 5: lower it, or raise the other.
    """
    generation = config.generation
    beams, samples = generation.num_beams, generation.num_samples
    sampling = " and ".join("--" + name.replace("_", "-") for name in generation.sampling)
    if generation.greedy and sampling:
        yield f"--greedy does not sample, so {sampling} would change nothing: leave one side out."
    if generation.greedy and beams > 1:
        yield f"--greedy follows one text and --num-beams {beams} several: leave one of them out."
    elif generation.greedy and samples > 1:
        yield "--greedy gives one and the same text: leave out --num-samples."
    if 1 < beams < samples:
        yield (
            f"--num-samples {samples} is above --num-beams {beams}, and each beam gives one text: "
            f"give --num-beams {samples}, or fewer samples."
        )
    if beams == 1 and generation.length_penalty is not None:
        yield "--length-penalty weighs beams: give --num-beams 2 or more, or leave it out."
    if generation.min_new_tokens > generation.max_new_tokens:
        yield (
            f"--min-new-tokens {generation.min_new_tokens} is above --max-new-tokens "
            f"{generation.max_new_tokens}: lower it, or raise the other."
        )
    yield from about_files(config.prompts, config.out)


def fill_config(given: Sequence[Given], problems: Sequence[str] = ()) -> FillConfig:
    """Return the settings of filling blanks, refusing those that contradict one another.

    Args:
        given: The settings.
        problems: What was already found wrong.

    Returns:
        The config.

    Raises:
        ConfigError: With every contradiction, once each setting by itself can be used.
    """
    config = build(FillConfig, [given], problems)
    refuse(_fill_contradictions(config))
    return config


def _fill_contradictions(config: FillConfig) -> Iterator[str]:
    filling = config.filling
    yield from about_files(config.prompts, config.out)
    if filling.answer_tokens > 1 and filling.targets:
        yield "--targets are one token each: leave them or --answer-tokens out."
    if filling.answer_tokens > 1 and filling.top_k > MOST_BEAMS:
        yield (
            f"--answer-tokens {filling.answer_tokens} searches with --top-k {filling.top_k} "
            f"beams: give at most --top-k {MOST_BEAMS}, or leave --answer-tokens out."
        )
