"""Which settings hold: what is given over a recipe, over a run's own, over the quickstart's."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from nextfill.config import (
    DataConfig,
    EvaluateConfig,
    FillConfig,
    GenerateConfig,
    PromptsConfig,
    Scope,
    TrainConfig,
)
from nextfill.errors import ConfigError, RunError
from nextfill.given import Given, full_path
from nextfill.hub import is_pinned_form
from nextfill.paths import STANDARD_INPUT, is_address, is_glob, user_path
from nextfill.recipe import build, read_recipe

QUICKSTART = "quickstart"
"""The recipe whose settings hold where no model is named, or a bundled one."""

QUICKSTARTS = {"causal": QUICKSTART, "masked": "quickstart-masked"}

OBJECTIVE = ("objective",)
MODEL_NAME = ("model", "name")
LORA_RANK = ("lora", "rank")
LEARNING_RATE = ("training", "learning_rate")
LORA_LEARNING_RATE = 5e-4
"""Ten times the default, where nothing else says one: an adapter wants that much more.

Source: Schulman et al. 2025, LoRA Without Regret (thinkingmachines.ai/blog/lora).
"""

_OF_ONE_RUN = ("max_steps", "eval_every", "save_every", "sample_prompt")


def train_config(
    recipe: str | Path | None, given: Sequence[Given], problems: Sequence[str] = ()
) -> TrainConfig:
    """Merge a recipe and settings; without a model, the quickstart recipe's settings hold."""
    problems = list(problems)
    layers: list[Sequence[Given]] = []
    try:
        own = [] if recipe is None else read_recipe(recipe)
        layers += [_of_the_model([*own, *given]), own]
    except ConfigError as error:
        problems += error.problems
    places = {full_path(TrainConfig, item) for layer in [*layers, given] for item in layer}
    if LORA_RANK in places:
        layers.insert(0, [Given(LEARNING_RATE, LORA_LEARNING_RATE, "--lora-rank")])
    return absolute_paths(build(TrainConfig, [*layers, given], problems))


def _of_the_model(given: Sequence[Given]) -> list[Given]:
    """Return the settings that come with a model: the quickstart's, or those of a run of ours.

    A run is trained further as it was trained; what it trained on, and for how long, is its own.
    """
    name = _last(given, MODEL_NAME)
    if name is None:
        return read_recipe(QUICKSTARTS.get(_last(given, OBJECTIVE) or "causal", QUICKSTART))
    if name.startswith("builtin:"):
        masked = name.removeprefix("builtin:").startswith("base-masked")
        return read_recipe(QUICKSTARTS["masked"] if masked else QUICKSTART)
    recipe = user_path(name, "--model") / "config.toml"
    if not recipe.is_file():
        return []
    own = ("training", "blocks", "masking")
    kept = [item for item in read_recipe(recipe) if item.path[0] in own]
    return [item for item in kept if item.path[-1] not in _OF_ONE_RUN]


def _last(given: Sequence[Given], place: tuple[str, ...]) -> str | None:
    """Return the value that holds of those given at a place."""
    values = [str(item.value) for item in given if full_path(TrainConfig, item) == place]
    return values[-1] if values else None


def absolute_paths(config: TrainConfig) -> TrainConfig:
    """Return the settings with the local paths among them absolute, to hold from any folder."""

    def absolute(name: str | None, flag: str) -> str | None:
        if name is None or name == STANDARD_INPUT or is_address(name):
            return name
        path = user_path(name, flag)
        # Without `..`, and without following links, as the user knows the file.
        there = name and (path.exists() or is_glob(name))
        return os.path.abspath(path) if there else name  # noqa: PTH100

    model, data = config.model, config.data

    def of_data(one: DataConfig) -> DataConfig:
        source = str(absolute(one.source, "--data"))
        return replace(one, source=source, eval_source=absolute(one.eval_source, "--eval-data"))

    name, sources = str(absolute(model.name, "--model")), [of_data(one) for one in data.sources]
    tokenizer = absolute(model.tokenizer, "--tokenizer")
    sets = {
        key: replace(one, source=str(absolute(one.source, f"evaluation.{key}")))
        for key, one in config.evaluation.sets.items()
    }
    return replace(
        config,
        model=replace(model, name=name, tokenizer=tokenizer),
        data=replace(of_data(data), sources=sources),
        evaluation=replace(config.evaluation, sets=sets),
    )


def resumed_config(
    recipe: str | Path | None, given: Sequence[Given], problems: Sequence[str]
) -> TrainConfig:
    """Return the settings of the run in ``out``, refusing any that differ from it."""
    asked = build(TrainConfig, [given], problems)
    if asked.out is None or recipe is not None:
        raise ConfigError(["To go on with a run type: nextfill train --out RUN --resume"])
    path = user_path(asked.out, "--out")
    if not (path / "config.toml").is_file():
        raise RunError(f"--resume: {path} holds no run (expected {path / 'config.toml'}).")
    own = read_recipe(path / "config.toml")
    recorded = build(TrainConfig, [own])
    changed = []
    for item in given:
        place = full_path(TrainConfig, item)
        if place[0] == "share":  # changes nothing of the run
            continue
        old, new = (_setting(config, place) for config in (recorded, asked))
        if place[:1] == ("data",) and is_pinned_form(old, new):
            continue
        if place == ("out",) or new == "auto":  # the run records what auto came to
            continue
        if absolute_paths(build(TrainConfig, [own, [item]])) != recorded:
            changed.append(f"{item.label}: the run has {old!r}, not {new!r}.")
    if changed:
        changed.append(
            "A resumed run keeps its settings: leave these out, or train its model further in a "
            f"new run: nextfill train --model {shlex.quote(str(path))}"
        )
        raise ConfigError(changed)
    sharing = [item for item in given if full_path(TrainConfig, item)[0] == "share"]
    share = build(TrainConfig, [own, sharing]).share
    return replace(recorded, out=str(path), share=share)


def _setting(config: Any, path: Sequence[str]) -> Any:
    for name in path:
        config = config.get(name) if isinstance(config, Mapping) else getattr(config, name, None)
    return config


def evaluate_config(
    given: Sequence[Given], problems: Sequence[str] = ()
) -> tuple[EvaluateConfig, Scope]:
    """Merge settings with those of the run that is evaluated.

    Returns:
        The config, and which documents are scored: all of the data that were named, if nothing
        was said about a held-out part of them; else what is held out; ``own`` where that is the
        run's own held-out part.
    """
    asked = build(EvaluateConfig, [given], problems)
    if found := list(_evaluate_contradictions(asked, given)):
        raise ConfigError(found)
    places = {full_path(EvaluateConfig, item) for item in given}
    named = ("data", "source") in places or ("data", "sources") in places
    divided = any(("data", key) in places for key in ("test_size", "eval_source", "eval_split"))
    recipe = user_path(asked.model.name, "--model") / "config.toml"
    layers: list[Sequence[Given]] = []
    if recipe.is_file():
        wanted = ("data", "blocks", "masking", "evaluation")
        alone = (("seed",), ("objective",))
        layers.append([g for g in read_recipe(recipe) if g.path[0] in wanted or g.path in alone])
        if named:  # the run's slices and fields belong to the run's data
            layers = [[g for g in layers[0] if g.path[0] != "data"]]
    config = build(EvaluateConfig, [*layers, given])
    if named and not divided:
        return config, "all"
    about_data = any(place[0] == "data" for place in places)
    return config, "own" if recipe.is_file() and not about_data else "held-out"


def _evaluate_contradictions(config: EvaluateConfig, given: Sequence[Given]) -> Iterator[str]:
    """Yield what is wrong with settings of which each by itself is right."""
    if config.evaluation.sets:
        names = ", ".join(f"evaluation.{name}" for name in config.evaluation.sets)
        yield f"{names}: evaluate scores one set of documents at a time: name it with --data."
    for item in given:
        place = full_path(EvaluateConfig, item)
        if config.pseudo and (place[0] == "masking" or place[-1] == "mask_seed"):
            yield (
                f"{item.label} chooses what is masked, and --pseudo hides each token in turn: "
                "leave one of them out."
            )
        if not config.pseudo and place == ("pseudo_metric",):
            yield f"{item.label} says how --pseudo hides a token: give that, too."
    yield from _other_than_jsonl(config.out)


def _other_than_jsonl(out: str | None) -> Iterator[str]:
    if out is not None and not out.endswith(".jsonl"):
        yield f"--out {out}: one JSON object a line is written, so the name has to end in .jsonl."


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
    found = list(contradictions(config))
    if found:
        raise ConfigError(found)
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
    yield from _about_files(config.prompts, config.out)


def _about_files(prompts: PromptsConfig, out: str | None) -> Iterator[str]:
    """Yield what is wrong with the files that texts come from and go to."""
    if prompts.prompt_field is not None and prompts.source is None:
        yield "--prompt-field names a field of --prompts: give that, too, or leave it out."
    yield from _other_than_jsonl(out)


MOST_BEAMS = 100
"""Beams that search for answers of several tokens, each of which is a row of a batch."""


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
    filling, found = config.filling, list(_about_files(config.prompts, config.out))
    if filling.answer_tokens > 1 and filling.targets:
        found.append("--targets are one token each: leave them or --answer-tokens out.")
    if filling.answer_tokens > 1 and filling.top_k > MOST_BEAMS:
        found.append(
            f"--answer-tokens {filling.answer_tokens} searches with --top-k {filling.top_k} "
            f"beams: give at most --top-k {MOST_BEAMS}, or leave --answer-tokens out."
        )
    if found:
        raise ConfigError(found)
    return config
