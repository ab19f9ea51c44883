"""Recipes and flags into one validated config, and a config back into a recipe.

A recipe is TOML with the fields of ``nextfill.config``; a flag beats the recipe. All mistakes are
found before anything is done and are reported together, each with the nearest known name.
"""

from __future__ import annotations

import codecs
import shlex
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from copy import deepcopy
from dataclasses import asdict, fields
from functools import cache
from importlib import resources
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar, get_args

from nextfill.config import EvaluationSet
from nextfill.config.layers import Assignment, full_path, leaves, secrets, short
from nextfill.config.options import sections, settings
from nextfill.core.errors import ConfigError, nearest
from nextfill.core.paths import user_path

C = TypeVar("C")
RECIPE_SUFFIX = ".toml"


def recipe_names() -> list[str]:
    """Return the names of the recipes that ship with the package."""
    folder = resources.files("nextfill") / "recipes"
    names = (item.name for item in folder.iterdir())
    return sorted(name.removesuffix(RECIPE_SUFFIX) for name in names if name.endswith(".toml"))


def read_recipe(name: str | Path) -> list[Assignment]:
    """Read a recipe file, or by bare name one of those that ship."""
    path = user_path(str(name), "RECIPE")
    shipped = recipe_names()
    stem = str(name).removesuffix(RECIPE_SUFFIX)
    if path.is_file() and path.suffix == RECIPE_SUFFIX:
        raw = path.read_bytes()
    elif path.exists():
        raise ConfigError(
            [f"{name} is no recipe (.toml). To train on it, type: --data {shlex.quote(str(name))}"]
        )
    elif stem in shipped:
        raw = (resources.files("nextfill") / "recipes" / f"{stem}.toml").read_bytes()
    else:
        hint = nearest(stem, shipped)
        raise ConfigError(
            [f"There is no recipe {name}.{hint} Give a .toml file or one of: {', '.join(shipped)}."]
        )
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise ConfigError([f"{path} is in UTF-16, and TOML is UTF-8: save it again as UTF-8."])
    try:
        tree = tomllib.loads(raw.decode("utf-8-sig"))  # editors of Windows begin with its mark
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError([f"{path} is not valid TOML: {error}."]) from error
    return list(leaves(tree, (), f"{path.name}: "))


def build(root: type[C], layers: Sequence[Sequence[Assignment]], problems: Sequence[str] = ()) -> C:
    """Merge layers of settings, later ones winning, and validate them together."""
    tree: dict[str, Any] = {}
    labels: dict[tuple[str, ...], str] = {}
    found = list(problems)
    for given in (one for layer in layers for one in _in_order(root, layer)):
        path = full_path(root, given)
        found += _replace_source(root, tree, path, given)
        node = tree
        for key in path[:-1]:
            node = node.setdefault(key, {})
            if not isinstance(node, dict):
                found.append(f"{given.label}: '{key}' has a value of its own, and no settings.")
                break
        else:  # a copy, because a later layer may put a key into it
            node[path[-1]] = deepcopy(given.value)
            labels[path] = given.label
    for layer in layers:
        found += [*_named_twice(root, layer), *secrets(root, layer)]
    config, invalid = _validate(root, tree, labels, _say_for_each(root, tree))
    found += invalid
    if found or config is None:
        raise ConfigError(found)
    return config


def _in_order(root: type, layer: Sequence[Assignment]) -> list[Assignment]:
    """Return a layer's settings so that it does not matter in which order they were written.

    A whole table comes before what is said of a key in it, and the list of a section's sources
    before what is said for all of them. Of one setting written twice the later one holds.
    """
    spread = [each for item in layer for each in _spread(root, item)]

    def place(given: Assignment) -> tuple[int, bool]:
        path = full_path(root, given)
        listed = getattr(sections(root).get(path[0]), "listed_tables", None)
        return len(path), path[1:] != (listed,)

    return sorted(spread, key=place)


def _named_twice(root: type, layer: Sequence[Assignment]) -> Iterator[str]:
    """Say where a layer names one source, and several in another place."""
    labels = {full_path(root, one): one.label for item in layer for one in _spread(root, item)}
    for name, section in sections(root).items():
        listed, shorthand = (getattr(section, n, "") for n in ("listed_tables", "shorthand"))
        one, several = labels.get((name, shorthand)), labels.get((name, listed))
        if one is not None and several is not None:
            yield f"{one} names one source, and {several} several: leave one of them out."


def _say_for_each(root: type, tree: dict[str, Any]) -> set[tuple[str | int, ...]]:
    """Put what is said for all sources into each that does not say it; return the places."""
    places: set[tuple[str | int, ...]] = set()
    for name, section in sections(root).items():
        listed = getattr(section, "listed_tables", None)
        tables = tree[name].get(listed) if isinstance(tree.get(name), dict) else None
        if listed is None or not isinstance(tables, list):
            continue
        own = (listed, section.shorthand)  # type: ignore[attr-defined]
        said = {key: value for key, value in tree[name].items() if key not in own}
        for number, table in enumerate(tables):
            if isinstance(table, dict):
                places |= {(name, listed, number, key) for key in said.keys() - table.keys()}
                tables[number] = {**deepcopy(said), **table}
    return places


def _replace_source(
    root: type, tree: dict[str, Any], path: tuple[str, ...], given: Assignment
) -> Iterator[str]:
    """Let a source take the place of several, and several that of one and what was said of it."""
    section = sections(root).get(path[0])
    listed = getattr(section, "listed_tables", None)
    if listed is None or len(path) != 2 or not isinstance(tree.get(path[0], {}), dict):
        return
    name = section.shorthand  # type: ignore[union-attr]
    if path[1] == name:
        tree.get(path[0], {}).pop(listed, None)
    elif path[1] == listed and isinstance(given.value, list):
        tree.pop(path[0], None)
        for number, one in enumerate(given.value, start=1):
            if not (isinstance(one, Mapping) and name in one):
                yield f"{given.label}, table {number}: found no {name}. Each names one."


def _spread(root: type, given: Assignment) -> list[Assignment]:
    """Return a section that was given whole, as ``--set training={...}``, key by key."""
    if len(given.path) == 1 and given.path[0] in sections(root) and isinstance(given.value, dict):
        return [
            Assignment((*given.path, key), value, f"{given.label}.{key}")
            for key, value in given.value.items()
        ]
    return [given]


def _validate(
    root: type[C],
    tree: Mapping[str, Any],
    labels: Mapping[tuple[str, ...], str],
    repeated: Set[tuple[str | int, ...]],
) -> tuple[C | None, list[str]]:
    from pydantic import ValidationError

    problems = list(_truths_for_numbers(root, tree, labels))
    try:
        config: C | None = _validator(root)(tree)
    except ValidationError as error:
        for item in error.errors(include_url=False):
            if item["loc"][:4] in repeated:  # told of where it is said for all
                continue
            loc = tuple(str(part) for part in item["loc"])
            above = (labels[loc[:n]] for n in range(len(loc), 0, -1) if loc[:n] in labels)
            below = (label for path, label in labels.items() if path[: len(loc)] == loc)
            label = next(chain(above, below), _as_written(root, loc))
            if len(loc) > 2 and loc[1] == getattr(sections(root).get(loc[0]), "listed_tables", ""):
                label += f", table {int(loc[2]) + 1}: {loc[-1]}"
            if item["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
                problems.append(f"{label}: there is no such setting.{_nearest_key(root, loc)}")
            else:
                hint = _hint(root, loc)
                problems.append(f"{label}: found {short(item['input'])}. {item['msg']}.{hint}")
        config = None
    return None if problems else config, list(dict.fromkeys(problems))


def _validator(root: type) -> Callable[[Mapping[str, Any]], Any]:
    """Return what validates the settings of a class, which takes long to make."""
    return _cached_validator(root)


@cache
def _cached_validator(root: type) -> Callable[[Mapping[str, Any]], Any]:
    from pydantic import TypeAdapter

    return TypeAdapter(root).validate_python


def _truths_for_numbers(
    root: type, tree: Mapping[str, Any], labels: Mapping[tuple[str, ...], str]
) -> Iterator[str]:
    """Yield where true or false stands for a number, which pydantic takes for 1 or 0."""
    for one in settings(root):
        value: Any = tree
        for key in one.path:
            value = value.get(key) if isinstance(value, Mapping) else None
        kinds = set(_kinds(one.annotation))
        if isinstance(value, bool) and kinds & {int, float} and bool not in kinds:
            label = labels.get(one.path, ".".join(one.path))
            yield f"{label}: found {value!r}. Expected a number."


def _kinds(annotation: Any) -> Iterator[Any]:
    """Yield the types that an annotation is made of."""
    yield annotation
    for part in get_args(annotation):
        yield from _kinds(part)


def _hint(root: type, loc: tuple[str, ...]) -> str:
    """Return what a setting's own definition says about values that it does not take."""
    return next((f" {one.hint}." for one in settings(root) if one.path == loc and one.hint), "")


def _as_written(root: type, loc: tuple[str, ...]) -> str:
    """Return the name of a setting as a user would write it."""
    home = getattr(sections(root).get(loc[0]), "named_tables", None)
    return ".".join(key for at, key in enumerate(loc) if (at, key) != (1, home))


def _nearest_key(root: type, loc: tuple[str, ...]) -> str:
    nested = sections(root)
    everything = {setting.path[-1]: setting for setting in settings(root)}
    if loc[-1] in everything:  # right name, wrong section
        return f" Did you mean '{'.'.join(everything[loc[-1]].path)}'?"
    named = getattr(nested.get(loc[0]), "named_tables", None)
    if len(loc) > 3 and loc[1] == named:  # a key of a table with a name of its own
        return nearest(loc[-1], [item.name for item in fields(EvaluationSet)])
    if len(loc) > 1 and loc[0] in nested:
        return nearest(loc[-1], [item.name for item in fields(nested[loc[0]])])
    return nearest(loc[-1], [*everything, *nested])


def to_toml(config: Any) -> str:
    """Write a config as a recipe that repeats it; settings that are None are left out."""
    import tomli_w

    tree = _without_none(asdict(config))
    for name, section in sections(type(config)).items():
        if listed := getattr(section, "listed_tables", None):
            each = getattr(config, name).each
            if len(each) > 1:  # what one leaves open can be said for all when it is read again
                tree[name] = [{section.shorthand: one.source, **one.said} for one in each]  # type: ignore[attr-defined]
            else:
                tree[name] = _without_none(asdict(each[0]))
                del tree[name][listed]
    for name, section in sections(type(config)).items():
        if home := getattr(section, "named_tables", None):
            tree.get(name, {}).update(tree.get(name, {}).pop(home, {}))
    return tomli_w.dumps(tree)


def _without_none(tree: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: _without_none(value) if isinstance(value, Mapping) else value
        for key, value in tree.items()
        if value is not None and value != {}
    }
