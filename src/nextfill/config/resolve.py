"""Resolution of a command's settings: which ones hold, and which contradict one another."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from nextfill.config import (
    BlockSettings,
    FillConfig,
    GenerateConfig,
    PromptsConfig,
    TrainConfig,
)
from nextfill.config.layers import build
from nextfill.config.model_aliases import under_one_name
from nextfill.config.options import Assignment
from nextfill.config.prefixes import BUILTIN, MASKED_BASE, SCRATCH
from nextfill.config.problems.data_problems import other_than_jsonl
from nextfill.config.problems.distillation_problems import student_settings
from nextfill.config.problems.infilling_problems import infilling_problems
from nextfill.config.problems.new_token_problems import without_old_words
from nextfill.config.problems.training_problems import (
    TRAINING_MASK_RATES,
    steps_problems,
    train_contradictions,
    with_later_length,
)
from nextfill.config.recipe_file import (
    CONFIG,
    absolute_paths,
    read_recipe,
    read_run_settings,
)
from nextfill.config.shipped_recipes import (
    MASKED_QUICKSTART,
    QUICKSTART,
    RECIPE_SUFFIX,
    recipe_names,
)
from nextfill.config.shorthands import normal_form
from nextfill.core.errors import ConfigError
from nextfill.core.paths import user_path

OBJECTIVE = ("objective",)
MODEL_NAME = ("model", "name")
LORA_RANK = ("lora", "rank")
LEARNING_RATE = ("training", "learning_rate")
LORA_LEARNING_RATE = 5e-4
"""Ten times the default, where nothing else sets one: an adapter needs that much more.

Source: Schulman et al. 2025, LoRA Without Regret (thinkingmachines.ai/blog/lora).
"""

MASK_RATES = {("masking", "rate"), *TRAINING_MASK_RATES}
GIVING_WAY = (
    (MASK_RATES, MASK_RATES),
    ({("training", "batch_size")}, {("training", "least_steps")}),
)
"""Settings that a person gives, and those of the quickstarts that do not hold beside them."""

CARRIED_OVER = ("training", "blocks", "masking", "infilling")
"""Sections of settings by which a run is trained further as it was trained."""

OF_ONE_RUN = (
    *("max_steps", "eval_every", "save_every", "sample_prompt", "rate_start"),
    *("schedule_start", "stages", "backend", "keras_backend"),
)

MOST_BEAMS = 100
"""Beams that search for answers of several tokens, each of which is a row of a batch."""


def train_config(
    recipe: str | Path | None, layer: Sequence[Assignment], problems: Sequence[str] = ()
) -> TrainConfig:
    """Merge a recipe and settings; without a model, the quickstart recipe's settings hold.

    A recipe that ships holds with any model as it is written, and takes nothing over from it.
    """
    problems = list(problems)
    layers: list[Sequence[Assignment]] = []
    try:
        written = [] if recipe is None else _of_model_named(read_recipe(recipe), layer)
        written = without_old_words([*written, *student_settings([*written, *layer])], layer)
        layers += [[] if _ships(recipe) else _settings_of_model([*written, *layer]), written]
    except ConfigError as error:
        problems += error.problems
    every = normal_form(TrainConfig, chain(*layers, layer))
    if any(item.path == LORA_RANK for item in every):
        layers.insert(0, [Assignment(LEARNING_RATE, LORA_LEARNING_RATE, "--lora-rank")])
    layers, twice = under_one_name(TrainConfig, [*layers, layer])
    typed = normal_form(TrainConfig, layer)
    twice += steps_problems(typed)
    config = absolute_paths(build(TrainConfig, layers, [*problems, *twice]))
    config = with_later_length(config, typed)
    refuse(train_contradictions(config, every, typed))
    return config


def refuse_attention(config: Any) -> None:
    """Refuse the implementation of attention where a tokenizer is read and no model."""
    if config.model.attn_implementation is not None:
        refuse(["--attn-implementation is for training and for using a model: leave it out."])


def refuse_infilling(root: type, settings: Sequence[Assignment]) -> Callable[[BlockSettings], None]:
    """Return a check that refuses settings of infilling which contradict others of a command."""
    layer = normal_form(root, settings)
    return lambda config: refuse(infilling_problems(config, layer))


def refuse(problems: Iterable[str]) -> None:
    """Raise the contradictions between settings, each valid by itself, all at once."""
    if found := list(problems):
        raise ConfigError(found)


def _ships(recipe: str | Path | None) -> bool:
    """Return whether a recipe is one of those that ship, and no file of the user's."""
    if recipe is None or user_path(str(recipe), "RECIPE").is_file():
        return False
    return str(recipe).removesuffix(RECIPE_SUFFIX) in recipe_names()


def _of_model_named(
    written: Sequence[Assignment], layer: Sequence[Assignment]
) -> Sequence[Assignment]:
    """Return a recipe's settings, without the shape of a scratch model where a trained is named."""
    named = [one.value for one in normal_form(TrainConfig, layer) if one.path == MODEL_NAME]
    if not named or str(named[-1]).startswith(SCRATCH):
        return written
    return [one for one in written if one.path[:2] != ("model", "config")]


def _settings_of_model(layer: Sequence[Assignment]) -> list[Assignment]:
    """Return the settings that come with a model: the quickstart's, or those of a run of ours.

    A run is trained further as it was trained; its data and its number of steps do not carry over.
    """
    last = {item.path: str(item.value) for item in normal_form(TrainConfig, layer)}
    name = last.get(MODEL_NAME)
    if name is None or name.startswith(BUILTIN):
        masked = name == MASKED_BASE if name else last.get(OBJECTIVE) == "masked"
        quickstart = read_recipe(MASKED_QUICKSTART if masked else QUICKSTART)
        gone = {path for given, others in GIVING_WAY if given & last.keys() for path in others}
        return [one for one in quickstart if one.path not in gone]
    run = user_path(name, "--model")
    if not (run / CONFIG).is_file():
        return []
    recorded = [i for i in read_run_settings(run) if i.path[0] in CARRIED_OVER]
    return [item for item in recorded if item.path[-1] not in OF_ONE_RUN]


def names_prompts(root: type, layer: Sequence[Assignment]) -> bool:
    """Return whether a file of texts is among the settings."""
    return any(item.path == ("prompts", "source") for item in normal_form(root, layer))


def _file_problems(prompts: PromptsConfig, out: str | None) -> Iterator[str]:
    """Yield the problems of the files that texts come from and go to."""
    if prompts.prompt_field is not None and prompts.source is None:
        yield "--prompt-field names a field of --prompts: give that, too, or leave it out."
    yield from other_than_jsonl(out)


def generate_config(layer: Sequence[Assignment], problems: Sequence[str] = ()) -> GenerateConfig:
    """Return the settings of a generation, refusing those that contradict one another."""
    config = build(GenerateConfig, [layer], problems)
    order = any(one.path[-1] == "suffix_order" for one in normal_form(GenerateConfig, layer))
    loose = "--suffix-order says how --suffix is read: give that, too, or leave it out."
    alone = [loose] if order and config.generation.suffix is None else []
    refuse([*alone, *generate_contradictions(config)])
    return config


def generate_contradictions(config: GenerateConfig) -> Iterator[str]:
    """Yield the contradictions between settings of a generation.

    Example:
        >>> from nextfill.config import GenerationConfig
        >>> generation = GenerationConfig(max_new_tokens=5, min_new_tokens=9)
        >>> print(*generate_contradictions(GenerateConfig(generation=generation)))
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
    yield from _file_problems(config.prompts, config.out)


def fill_config(layer: Sequence[Assignment], problems: Sequence[str] = ()) -> FillConfig:
    """Return the settings of filling blanks, refusing those that contradict one another."""
    config = build(FillConfig, [layer], problems)
    refuse(_fill_contradictions(config))
    return config


def _fill_contradictions(config: FillConfig) -> Iterator[str]:
    filling = config.filling
    yield from _file_problems(config.prompts, config.out)
    if filling.answer_tokens > 1 and filling.targets:
        yield "--targets are one token each: leave them or --answer-tokens out."
    if filling.answer_tokens > 1 and filling.top_k > MOST_BEAMS:
        yield (
            f"--answer-tokens {filling.answer_tokens} searches with --top-k {filling.top_k} "
            f"beams: give at most --top-k {MOST_BEAMS}, or leave --answer-tokens out."
        )
