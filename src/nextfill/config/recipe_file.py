"""Recipes: those that ship, reading and writing of a recipe or a run's config.toml, the schema.

A recipe is TOML with the fields of ``nextfill.config``.
"""

from __future__ import annotations

import codecs
import os
import shlex
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from nextfill.config import DataConfig, EvaluationSet, TrainConfig
from nextfill.config.data_places import with_places
from nextfill.config.layers import leaves
from nextfill.config.options import Assignment, sections, settings
from nextfill.config.shares import with_whole_ones
from nextfill.config.shipped_recipes import RECIPE_SUFFIX, SHIPPED, recipe_names
from nextfill.config.shorthands import recipe_tree
from nextfill.config.validation import short_value
from nextfill.core.errors import ConfigError, RunError
from nextfill.core.json_text import escape_surrogates
from nextfill.core.paths import STANDARD_INPUT, is_address, is_glob, user_path
from nextfill.core.shell_command import shell_command
from nextfill.core.streams import as_utf8

CONFIG = "config.toml"
"""File of a run that records its settings, as a recipe."""

DIALECT = "https://json-schema.org/draft/2020-12/schema"
"""JSON Schema's version that the schema of recipes follows."""


def read_recipe(name: str | Path, *, moved: bool = True) -> list[Assignment]:
    """Read a recipe file, or a recipe that ships by its bare name.

    The data of a run are named by where they were `moved` to.
    """
    path = user_path(str(name), "RECIPE")
    shipped = recipe_names()
    stem = str(name).removesuffix(RECIPE_SUFFIX)
    if path.is_file() and path.suffix == RECIPE_SUFFIX:
        raw = path.read_bytes()
    elif not path.exists() and stem in shipped:
        raw = (SHIPPED / f"{stem}{RECIPE_SUFFIX}").read_bytes()
    else:
        from nextfill.config.command_line.mistaken_names import not_a_recipe  # not for --help

        raise ConfigError([not_a_recipe(str(name), path, shipped)])
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise ConfigError([f"{path} is in UTF-16, and TOML is UTF-8: save it again as UTF-8."])
    try:
        tree = tomllib.loads(raw.decode("utf-8-sig"))  # editors of Windows begin with its mark
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        from nextfill.config.command_line.curly_quotes import flaw_of_toml  # not for --help

        hint = flaw_of_toml(raw.decode("utf-8-sig", "replace"))
        raise ConfigError([f"{path} is not valid TOML: {error}.{hint}"]) from error
    found = list(leaves(tree, (), f"{path.name}: "))
    return with_places(found, path.parent) if moved and path.name == CONFIG else found


def to_toml(config: Any) -> str:
    """Write a config as a recipe that repeats it; settings that are None are left out."""
    import tomli_w

    return tomli_w.dumps(with_whole_ones(recipe_tree(config)))


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
    teacher = absolute(config.distillation.teacher, "--teacher")
    sets = {
        key: replace(one, source=str(absolute(one.source, f"evaluation.{key}")))
        for key, one in config.evaluation.sets.items()
    }
    store = config.store
    if store is not None and not is_address(store):  # which need not be there yet
        whole = os.path.abspath(user_path(store, "--store"))  # noqa: PTH100 - as the user knows it
        store = as_utf8(whole, sys.getfilesystemencoding())
    general = absolute(config.replay.source, "--replay-data")
    words = replace(config.new_tokens, file=absolute(config.new_tokens.file, "--add-tokens-file"))
    return replace(
        config,
        store=store,
        model=replace(model, name=name, tokenizer=tokenizer),
        distillation=replace(config.distillation, teacher=teacher),
        new_tokens=words,
        data=replace(of_data(data), sources=sources),
        replay=replace(config.replay, source=general),
        evaluation=replace(config.evaluation, sets=sets),
    )


def encoding_problems(tree: Mapping[str, Any], place: str = "") -> Iterator[str]:
    """Yield a problem for each text that a run's config.toml cannot hold."""
    for key, value in tree.items():
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, Mapping):
                yield from encoding_problems(one, f"{place}{key}.")
            elif isinstance(one, str) and escape_surrogates(one) != one:
                yield (
                    f"{place}{key}: found {one!a}, which is not in UTF-8, and a run's config.toml "
                    "records it. Rename the file, or give a link to it."
                )


def read_run_settings(run: Path) -> list[Assignment]:
    """Read the settings of a run; refuse a config.toml that was changed since the run wrote it."""
    # Not for --help, which reads no run and is to be there at once.
    from nextfill.core.checksums import CHECKPOINTS, file_problem, recover_record, stage_files

    path = run / CONFIG
    record = recover_record(run)
    written = None if record is None else record.files.get(CONFIG)
    if written is None or file_problem(path, written) is None:
        return read_recipe(path)
    for earlier in stage_files(run)[-1:]:  # a kill came while the run was given other steps
        if file_problem(earlier, written) is None:
            return read_recipe(earlier)
    copies = sorted(run.glob(f"{CHECKPOINTS}/step-*/{CONFIG}"))
    copy = next((one for one in copies if file_problem(one, written) is None), None)
    again = f"start a new run with the new ones: {shell_command('train')} CONFIG.toml --out ANOTHER"
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
    """Describe the settings of a file that differ from those of another."""
    try:
        trees = [tomllib.loads(path.read_bytes().decode("utf-8-sig")) for path in (old, new)]
    except (OSError, ValueError) as error:
        return f": {error}"
    was, now = ({one.path: one.value for one in leaves(tree, (), "")} for tree in trees)
    changes = [
        f"{'.'.join(path)} was {_shown(was, path)} and is {_shown(now, path)}"
        for path in sorted(was.keys() | now.keys())
        if was.get(path) != now.get(path)
    ]
    return f": {'; '.join(changes)}" if changes else " (its settings are the same)"


def _shown(values: Mapping[tuple[str, ...], Any], path: tuple[str, ...]) -> str:
    return short_value(values[path]) if path in values else "not set"


@dataclass(frozen=True)
class Recipe:
    """A recipe that ships.

    Args:
        name: Its name for `nextfill train`.
        summary: Its use, in a sentence.
        toml: Its whole text.
    """

    name: str
    summary: str
    toml: str

    def to_json(self) -> dict[str, Any]:
        """Return the recipe as plain values."""
        return asdict(self)


def recipes(name: str | None = None) -> list[Recipe]:
    """Return the recipes that ship.

    Args:
        name: Only the one of this name.

    Returns:
        The recipes in the order of their names.

    Raises:
        ConfigError: If there is none of that name.

    Example:
        >>> import nextfill
        >>> [recipe.name for recipe in nextfill.recipes()][-2:]
        ['quickstart-masked', 'wikitext2-scratch']
    """
    known = recipe_names()
    names = known if name is None else [name.removesuffix(RECIPE_SUFFIX)]
    if not set(names) <= set(known):
        from nextfill.config.command_line.mistaken_names import near_recipe  # not for --help

        hint = near_recipe(names[0], known)
        raise ConfigError(
            [
                f"There is no recipe {name}.{hint} There are: {', '.join(known)}. A file of your "
                "own is a recipe, too: train takes both."
            ]
        )
    texts = {one: (SHIPPED / f"{one}{RECIPE_SUFFIX}").read_text("utf-8") for one in names}
    return [Recipe(one, _summary(text), text) for one, text in texts.items()]


def _summary(toml: str) -> str:
    """Return the first sentence of the comment at the top of a recipe."""
    lines = []
    for line in toml.splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.removeprefix("#").strip())
    first, dot, _ = " ".join(lines).partition(". ")
    return first.rstrip(".") + ("." if first or dot else "")


def recipe_schema() -> dict[str, Any]:
    """Return the JSON schema of the recipes that `nextfill train` takes.

    Returns:
        The settings of the config classes in the forms of a recipe: no nulls, which TOML does not
        have; ``model = "gpt2"`` for a section with a shorthand; tables with names of their own.

    Source:
        https://json-schema.org/draft/2020-12

    Example:
        >>> recipe_schema()["properties"]["training"]["properties"]["epochs"]["description"]
        'passes over the training part'
    """
    from pydantic import TypeAdapter

    whole = TypeAdapter(TrainConfig).json_schema()
    definitions = {name: _plain(one) for name, one in whole.pop("$defs").items()}
    properties = _plain(whole)["properties"]
    for name in sections(TrainConfig):
        properties[name] = _section(name, definitions)
    for setting in settings(TrainConfig):
        place = properties
        for key in setting.path[:-1]:
            place = _table(place[key])["properties"]
        place[setting.path[-1]]["description"] = setting.help
    return {
        "$schema": DIALECT,
        "title": "A recipe of Nextfill",
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
    }


def _plain(schema: Any) -> Any:
    """Return a schema without nulls and without titles, which repeat the names."""
    if isinstance(schema, list):
        return [_plain(item) for item in schema]
    if not isinstance(schema, Mapping):
        return schema
    plain = {
        key: value
        for key, value in schema.items()
        if not (key == "title" and isinstance(value, str))
        and not (key == "default" and value is None)
    }
    kinds = [kind for kind in plain.get("anyOf", ()) if kind != {"type": "null"}]
    if len(kinds) == 1 and "anyOf" in plain:
        plain |= kinds[0]
        del plain["anyOf"]
    return {key: _plain(value) for key, value in plain.items()}


def _section(name: str, definitions: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of a section in all its forms."""
    section = sections(TrainConfig)[name]
    table = definitions[section.__name__]
    table = {**table, "properties": dict(table["properties"])}
    if section.named_tables:
        del table["properties"][section.named_tables]
        one = definitions[EvaluationSet.__name__]
        table["additionalProperties"] = {"anyOf": [{"type": "string"}, one]}
    if section.listed_tables:
        del table["properties"][section.listed_tables]
        several = {"type": "array", "items": {**table, "required": [section.shorthand]}}
        return {"anyOf": [{"type": "string"}, table, several]}
    return {"anyOf": [{"type": "string"}, table]} if section.shorthand else table


def _table(schema: Mapping[str, Any]) -> Any:
    """Return the form of a section that is a table."""
    return next(one for one in schema.get("anyOf", [schema]) if one.get("type") == "object")
