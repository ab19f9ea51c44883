"""Resolution of a command's settings: which ones hold, and which contradict one another."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import fields, replace
from itertools import chain
from pathlib import Path
from typing import Any

from nextfill.config import (
    BlockSettings,
    DataConfig,
    EvaluateConfig,
    FillConfig,
    GenerateConfig,
    PromptsConfig,
    Scope,
    TrainConfig,
)
from nextfill.config.command_line.mistaken_names import ask_for_data
from nextfill.config.layers import build
from nextfill.config.model_aliases import under_one_name
from nextfill.config.options import Assignment
from nextfill.config.prefixes import BUILTIN, MASKED_BASE, SCRATCH
from nextfill.config.problems.distillation_problems import student_settings
from nextfill.config.problems.infilling_problems import infilling_problems
from nextfill.config.problems.new_token_problems import without_old_words
from nextfill.config.problems.training_problems import (
    start_rate_problems,
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
from nextfill.config.resumption import check_recorded_data, names_of_data
from nextfill.config.shipped_recipes import (
    MASKED_QUICKSTART,
    QUICKSTART,
    RECIPE_SUFFIX,
    recipe_names,
)
from nextfill.config.shorthands import normal_form
from nextfill.core.errors import ConfigError
from nextfill.core.model_folders import refuse_checkpoint
from nextfill.core.paths import user_path

OBJECTIVE = ("objective",)
ATTENTION = ("model", "attn_implementation")
MODEL_NAME = ("model", "name")
LORA_RANK = ("lora", "rank")
LEARNING_RATE = ("training", "learning_rate")
LORA_LEARNING_RATE = 5e-4
"""Ten times the default, where nothing else sets one: an adapter needs that much more.

Source: Schulman et al. 2025, LoRA Without Regret (thinkingmachines.ai/blog/lora).
"""

CARRIED_OVER = ("training", "blocks", "masking", "infilling")
"""Sections of settings by which a run is trained further as it was trained."""

OF_ONE_RUN = (
    *("max_steps", "eval_every", "save_every", "sample_prompt", "rate_start"),
    *("schedule_start", "stages", "backend", "keras_backend"),
)

MOST_BEAMS = 100
"""Beams that search for answers of several tokens, each of which is a row of a batch."""

FOR_TRAINING = {
    *(("blocks", name) for name in ("packing", "end_of_document", "isolate", "window_rows")),
    ("data", "validation_size"),
}
"""Settings without a meaning for an evaluation, which shares these sections with training."""

TEXTS_OF_A_PAGE = 6
"""Documents that a page shows token by token, unless ``show`` gives another number."""


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
        return read_recipe(MASKED_QUICKSTART if masked else QUICKSTART)
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
    yield from _other_than_jsonl(out)


def _other_than_jsonl(out: str | None) -> Iterator[str]:
    if out is not None and not out.endswith(".jsonl"):
        yield f"--out {out}: one JSON object a line is written, so the name has to end in .jsonl."


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


def check_names_data(config: EvaluateConfig, settings: Iterable[Assignment]) -> None:
    """Refuse to evaluate a folder that is no run, and so records no data, without any named."""
    other = {one.name for one in fields(DataConfig)} - {"source", "sources"}
    folder = user_path(config.model.name, "--model")
    # Splits of data from a program stand below the data by their names.
    names_data = any(one.path[0] == "data" and not other & {*one.path[1:]} for one in settings)
    if not names_data and folder.is_dir() and not (folder / CONFIG).is_file():
        raise ConfigError([ask_for_data(config.model.name, folder)])


def evaluate_config(
    layer: Sequence[Assignment], problems: Sequence[str] = (), others: Sequence[str] = ()
) -> tuple[EvaluateConfig, Scope]:
    """Merge settings with those of the run that is evaluated; return the documents' scope, too."""
    config = build(EvaluateConfig, [layer], problems)
    spelled_out = normal_form(EvaluateConfig, layer)
    refuse(_evaluate_contradictions(config, spelled_out, others))
    places = {item.path for item in spelled_out}
    names_data = ("data", "source") in places or ("data", "sources") in places
    divides = any(("data", key) in places for key in ("test_size", "eval_source", "eval_split"))
    run = user_path(config.model.name, "--model")
    refuse_checkpoint(run)
    is_run = (run / CONFIG).is_file()
    recorded = _settings_of_run(run, names_data=names_data) if is_run else []
    config = build(EvaluateConfig, [recorded, layer])
    if is_run and not names_data:
        check_recorded_data(run, names_of_data(config.data), "to score what it held out")
    if config.page is not None and ("show",) not in places:
        config = replace(config, show=TEXTS_OF_A_PAGE)
    if names_data and not divides:
        return config, "all"
    return config, "own" if is_run and _same_division(config, recorded) else "held-out"


def _settings_of_run(run: Path, *, names_data: bool) -> list[Assignment]:
    """Return the settings of a run that its evaluation begins with."""
    sections, alone = ("data", "blocks", "masking", "evaluation"), (("seed",), OBJECTIVE, ATTENTION)
    recorded = read_run_settings(run)
    recorded = [item for item in recorded if item.path[0] in sections or item.path in alone]
    if not names_data:
        return recorded
    # The run's slices and fields belong to the run's data.
    return [i for i in recorded if i.path[0] != "data" and i.path != ("evaluation", "by")]


def _same_division(config: EvaluateConfig, recorded: Sequence[Assignment]) -> bool:
    """Return whether data are divided as a run divided them: what it held out is held out."""
    own = build(EvaluateConfig, [recorded])
    # These change what is read beside the texts, and how carefully.
    data = replace(config.data, verify=own.data.verify, keep_fields=own.data.keep_fields)
    return (data, config.seed) == (own.data, own.seed)


def _evaluate_contradictions(
    config: EvaluateConfig, layer: Sequence[Assignment], others: Sequence[str]
) -> Iterator[str]:
    """Yield the contradictions between settings, a layer in normal form, of an evaluation."""
    of_one = {"--tokenizer": config.model.tokenizer, "--revision": config.model.revision}
    for flag, value in of_one.items():
        if others and value is not None:
            yield f"{flag} is one model's: leave it out where several are named."
    if config.evaluation.sets:
        names = ", ".join(f"evaluation.{name}" for name in config.evaluation.sets)
        yield f"{names}: evaluate scores one set of documents at a time: name it with --data."
    yield from start_rate_problems(layer)
    for item in layer:
        if config.pseudo and (item.path[0] == "masking" or item.path[-1] == "mask_seed"):
            yield (
                f"{item.label} chooses what is masked, and --pseudo hides each token in turn: "
                "leave one of them out."
            )
        if item.path in FOR_TRAINING:
            yield f"{item.label} is for training: leave it out, each document is scored alone."
        if not config.pseudo and item.path == ("pseudo_metric",):
            yield f"{item.label} says how --pseudo hides a token: give that, too."
    yield from _other_than_jsonl(config.out)
    if config.page is not None and not config.page.lower().endswith((".html", ".htm")):
        yield f"--page {config.page}: a page is written, so the name has to end in .html."
