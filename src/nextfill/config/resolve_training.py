"""The settings of a training run: given ones over a recipe or a run's own."""

from __future__ import annotations

import os
import shlex
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from nextfill.config import DataConfig, TrainConfig
from nextfill.config.layers import Assignment, full_path, leaves, short
from nextfill.config.recipe_file import RECIPE_SUFFIX, build, read_recipe, recipe_names
from nextfill.config.resolve_inference import refuse
from nextfill.core.errors import ConfigError, RunError
from nextfill.core.hub_client import is_pinned_form
from nextfill.core.json_text import escape_surrogates
from nextfill.core.paths import STANDARD_INPUT, is_address, is_glob, user_path
from nextfill.core.streams import as_utf8

QUICKSTART = "quickstart"
"""The recipe whose settings hold where no model is named, or a bundled one."""
MASKED_QUICKSTART = "quickstart-masked"
"""The same where that model is to fill in blanks."""

OBJECTIVE = ("objective",)
MODEL_NAME = ("model", "name")
MASKED_BASE = "builtin:base-masked"
LORA_RANK = ("lora", "rank")
LEARNING_RATE = ("training", "learning_rate")
LORA_LEARNING_RATE = 5e-4
"""Ten times the default, where nothing else says one: an adapter wants that much more.

Source: Schulman et al. 2025, LoRA Without Regret (thinkingmachines.ai/blog/lora).
"""

_OF_ONE_RUN = ("max_steps", "eval_every", "save_every", "sample_prompt", "rate_start")


def train_config(
    recipe: str | Path | None, given: Sequence[Assignment], problems: Sequence[str] = ()
) -> TrainConfig:
    """Merge a recipe and settings; without a model, the quickstart recipe's settings hold.

    A recipe that ships holds with any model as it is written, and takes nothing over from it.
    """
    problems = list(problems)
    layers: list[Sequence[Assignment]] = []
    try:
        own = [] if recipe is None else read_recipe(recipe)
        layers += [[] if _ships(recipe) else _of_the_model([*own, *given]), own]
    except ConfigError as error:
        problems += error.problems
    places = {full_path(TrainConfig, item) for layer in [*layers, given] for item in layer}
    if LORA_RANK in places:
        layers.insert(0, [Assignment(LEARNING_RATE, LORA_LEARNING_RATE, "--lora-rank")])
    config = absolute_paths(build(TrainConfig, [*layers, given], problems))
    refuse(_not_utf8(asdict(config)))
    return config


def _not_utf8(tree: Mapping[str, Any], place: str = "") -> Iterator[str]:
    """Yield what is wrong with texts that a run's config.toml cannot hold."""
    for key, value in tree.items():
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, Mapping):
                yield from _not_utf8(one, f"{place}{key}.")
            elif isinstance(one, str) and escape_surrogates(one) != one:
                yield (
                    f"{place}{key}: found {one!a}, which is not in UTF-8, and a run's config.toml "
                    "records it. Rename the file, or give a link to it."
                )


def _ships(recipe: str | Path | None) -> bool:
    """Say whether a recipe is one of those that ship, and no file of the user's."""
    if recipe is None or user_path(str(recipe), "RECIPE").is_file():
        return False
    return str(recipe).removesuffix(RECIPE_SUFFIX) in recipe_names()


def _of_the_model(given: Sequence[Assignment]) -> list[Assignment]:
    """Return the settings that come with a model: the quickstart's, or those of a run of ours.

    A run is trained further as it was trained; what it trained on, and for how long, is its own.
    """
    name = _last(given, MODEL_NAME)
    if name is None or name.startswith("builtin:"):
        masked = name == MASKED_BASE if name else _last(given, OBJECTIVE) == "masked"
        return read_recipe(MASKED_QUICKSTART if masked else QUICKSTART)
    recipe = user_path(name, "--model") / "config.toml"
    if not recipe.is_file():
        return []
    own = ("training", "blocks", "masking")

    kept = [item for item in read_run_settings(recipe.parent) if item.path[0] in own]
    return [item for item in kept if item.path[-1] not in _OF_ONE_RUN]


def _last(given: Sequence[Assignment], place: tuple[str, ...]) -> str | None:
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
        whole = os.path.abspath(path) if there else name  # noqa: PTH100
        return as_utf8(whole, sys.getfilesystemencoding())

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
    recipe: str | Path | None, given: Sequence[Assignment], problems: Sequence[str]
) -> TrainConfig:
    """Return the settings of the run in ``out``, refusing any that differ from it."""
    asked = build(TrainConfig, [given], problems)
    if asked.out is None or recipe is not None:
        raise ConfigError(["To go on with a run type: nextfill train --out RUN --resume"])
    path = user_path(asked.out, "--out")
    if not (path / "config.toml").is_file():
        raise RunError(f"--resume: {path} holds no run (expected {path / 'config.toml'}).")

    own = read_run_settings(path)
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


CONFIG = "config.toml"


def read_run_settings(run: Path) -> list[Assignment]:
    """Read the settings of a run, which nobody may have changed since it wrote them."""
    # Not for --help, which reads no run and is to be there at once.
    from nextfill.core.checksums import CHECKPOINTS, file_problem, recover_record

    path = run / CONFIG
    record = recover_record(run)
    written = None if record is None else record.files.get(CONFIG)
    if written is None or file_problem(path, written) is None:
        return read_recipe(path)
    copies = sorted(run.glob(f"{CHECKPOINTS}/step-*/{CONFIG}"))
    copy = next((one for one in copies if file_problem(one, written) is None), None)
    again = "start a new run with the new ones: nextfill train CONFIG.toml --out ANOTHER"
    if copy is None:
        raise RunError(
            f"{path} is not as the run wrote it. A run keeps its settings: put the old file back, "
            f"or {again}"
        )
    raise RunError(
        f"{path} is not as the run wrote it{_difference(copy, path)}. A run keeps its settings: "
        f"put them back with: cp {shlex.quote(str(copy))} {shlex.quote(str(path))} - or {again}"
    )


def _difference(old: Path, new: Path) -> str:
    """Say which settings of a file differ from those of another."""
    try:
        trees = [tomllib.loads(path.read_bytes().decode("utf-8-sig")) for path in (old, new)]
    except (OSError, ValueError) as error:
        return f": {error}"
    was, now = ({one.path: one.value for one in leaves(tree, (), "")} for tree in trees)
    told = [
        f"{'.'.join(path)} was {_shown(was, path)} and is {_shown(now, path)}"
        for path in sorted(was.keys() | now.keys())
        if was.get(path) != now.get(path)
    ]
    return f": {'; '.join(told)}" if told else " (its settings are the same)"


def _shown(values: Mapping[tuple[str, ...], Any], path: tuple[str, ...]) -> str:
    return short(values[path]) if path in values else "not set"
