"""Layers of settings, from keywords and ``--set``, and their merging into one validated config.

All mistakes are found before anything is done and are reported together, each with the nearest
known name.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from copy import deepcopy
from dataclasses import fields
from functools import cache
from itertools import chain
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar

from nextfill.config import DataConfig, EvaluationSet
from nextfill.config.options import Assignment, Section, sections, settings
from nextfill.config.shares import ambiguous_shares
from nextfill.config.shorthands import (
    complete_sources,
    full_path,
    in_order,
    in_own_form,
    normal_form,
    path_in_recipe,
    replace_sources,
    section_of,
    source_conflicts,
)
from nextfill.config.value_types import Place, as_typed, kinds, mistaken_values
from nextfill.core.errors import ConfigError, nearest
from nextfill.core.json_text import escape_surrogates
from nextfill.core.url_redaction import scrub, without_secrets

C = TypeVar("C")

ADDRESSES = ("source", "eval_source")
"""Settings that take an address, whose data go into the cache where it holds a secret."""

_DATA = {("data", "source"), ("data", "eval_source")}
"""Settings with words of their own for what is no data."""

MOST_SHOWN = 120
"""Characters of a bad value that a message shows."""


def leaves(tree: Mapping[str, Any], path: tuple[str, ...], label: str) -> list[Assignment]:
    """Return the settings of a recipe's tree, one by one; tables within a section stay whole."""
    found = []
    for key, value in tree.items():
        here = (*path, key)
        if isinstance(value, dict) and len(here) == 1:
            found += leaves(value, here, label)
        else:
            found.append(Assignment(here, value, label + ".".join(here)))
    return found


def keyword_assignments(
    root: type, keywords: Mapping[str, Any]
) -> tuple[list[Assignment], list[str]]:
    """Turn keyword arguments, named like the flags, into settings and a list of problems."""
    known = {setting.keyword: setting for setting in settings(root)}
    layer: list[Assignment] = []
    problems: list[str] = []
    for name, value in keywords.items():
        if name in sections(root) and isinstance(value, Mapping):  # a section, whole
            layer += leaves({name: value}, (), "")
        elif name == "data" and (isinstance(value, DataConfig) or _is_list_of_sources(value)):
            each = [value] if isinstance(value, DataConfig) else value
            layer.append(Assignment(("data",), [_source_table(one) for one in each], name))
        elif name in known:
            plain = str(value) if isinstance(value, Path) else value
            if _is_number(value) and known[name].kind is str and known[name].path not in _DATA:
                problems.append(
                    f"{name}: found {value}. Expected a text, such as {name}='{value}'."
                )
                continue  # a recipe's number may be a name, and a program's is a slip
            layer.append(Assignment(known[name].path, plain, name))
        elif name in sections(root):
            need = f"Expected its settings, {name}={{NAME: VALUE}}"
            problems.append(f"{name}: found {short_value(value)}. {need}.")
        else:
            from nextfill.config.foreign_objects import object_advice  # not for --help
            from nextfill.config.other_names import advice

            other = advice(name, value, [*known], beside=keywords) or nearest(name, known)
            lines = object_advice(value, [*known], keywords)
            problems.append("\n    ".join([f"There is no setting '{name}'.{other}", *lines]))
    return layer, problems + _duplicates(root, layer)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _duplicates(root: type, layer: Sequence[Assignment]) -> list[str]:
    """Return a problem for each setting that a section and a keyword both name."""
    labels: dict[tuple[str, ...], list[str]] = {}
    for one in normal_form(root, layer):
        labels.setdefault(one.path, []).append(one.label)
    return [
        f"{' and '.join(sorted(names))} are one setting: leave one of them out."
        for names in labels.values()
        if len(names) > 1
    ]


def _is_list_of_sources(value: Any) -> bool:
    return isinstance(value, list | tuple) and any(isinstance(one, DataConfig) for one in value)


def _source_table(source: Any) -> dict[str, Any]:
    """Return the explicit settings of a source: a `DataConfig`, a dict, or a name alone."""
    if isinstance(source, DataConfig):
        table = {"source": source.source, **source.explicit}
    elif isinstance(source, Mapping) and "source" in source:
        table = dict(source)
    else:
        table = {"source": source}
    return {key: str(one) if isinstance(one, PathLike) else one for key, one in table.items()}


def parse_set(text: str) -> Assignment | str:
    """Read ``section.key=value``; return the problem as text if it cannot be read."""
    path, equals, value = text.partition("=")
    if not equals or not path.strip():
        return f"--set {text}: expected section.key=value, such as --set training.beta2=0.95."
    if escape_surrogates(path) != path:
        return f"--set {path}: there is no such setting; its name is not in UTF-8."
    try:
        parsed = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        parsed = value  # a bare word is text
    return Assignment(tuple(path.strip().split(".")), parsed, f"--set {path.strip()}")


def build(root: type[C], layers: Sequence[Sequence[Assignment]], problems: Sequence[str] = ()) -> C:
    """Merge layers of settings, later ones winning, and validate them together."""
    tree: dict[str, Any] = {}
    labels: dict[tuple[str, ...], str] = {}
    found = list(problems)
    spelled_out = [normal_form(root, layer) for layer in layers]
    for item in chain.from_iterable(in_order(root, layer) for layer in spelled_out):
        found += replace_sources(root, tree, item)
        node = tree
        for key in item.path[:-1]:
            node = node.setdefault(key, {})
            if not isinstance(node, dict):
                if node is not tree.get(item.path[0]) or section_of(root, key) is Section:
                    # Of a section that is no table it is told below, once.
                    found.append(f"{item.label}: '{key}' has a value of its own, and no settings.")
                break
        else:  # a copy, because a later layer may put a key into it
            node[item.path[-1]] = in_own_form(root, item.path, deepcopy(as_typed(root, item)))
            labels[item.path] = item.label
    for layer, spelled in zip(layers, spelled_out, strict=True):
        found += [*source_conflicts(root, spelled), *_secrets(root, layer)]
    config: C | None
    config, invalid = _validate(root, tree, labels, complete_sources(root, tree))
    found += invalid
    if found or config is None:
        raise ConfigError(found)
    return config


def _secrets(root: type, layer: Sequence[Assignment]) -> Iterator[str]:
    """Yield a problem for each secret that a run, a store or a card would record."""
    for one in layer:
        is_address = isinstance(one.value, str) and full_path(root, one)[-1] in ADDRESSES
        if _holds_secret([".".join(one.path), "" if is_address else one.value]):
            yield (
                f"{one.label}: found {short_value(one.value)}, which holds a password, a key or a "
                "token, and settings are recorded. Leave it out: secrets belong in the environment."
            )


def _holds_secret(value: Any) -> bool:
    """Return whether a value, or a key or value in it, holds a secret; addresses of data may."""
    if isinstance(value, Mapping):
        named = {key: one for key, one in value.items() if key not in ADDRESSES}
        return any(map(_holds_secret, (*named, *named.values())))
    if isinstance(value, list | tuple):
        return any(map(_holds_secret, value))
    return isinstance(value, str) and without_secrets(value) != value


def short_value(value: object) -> str:
    """Return a bad value for a message, cut where it is long and without secrets."""
    text = scrub(repr(value))  # whole, because of an address cut short its end is not known
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}... ({type(value).__name__})"


def _validate(
    root: type,
    tree: Mapping[str, Any],
    labels: Mapping[tuple[str, ...], str],
    copies: Set[tuple[str | int, ...]],
) -> tuple[Any, list[str]]:
    """Return the config, None where it is invalid, and the problems."""
    from pydantic import ValidationError

    wrong = [one for one in mistaken_values(root, tree) if one[0] not in copies]
    told = [(_label(root, labels, place), _at(tree, place), need) for place, need in wrong]
    problems = [f"{label}: found {short_value(value)}. {need}" for label, value, need in told]
    problems += ambiguous_shares(tree, labels, copies)
    try:
        config = _validator(root)(tree)
    except ValidationError as error:
        for item in error.errors(include_url=False):
            if item["loc"][:4] in copies:  # reported at the setting of all sources
                continue
            if item["loc"] in {place for place, _ in wrong}:  # reported above
                continue
            loc = tuple(str(part) for part in item["loc"])
            label = _label(root, labels, loc)
            if item["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
                is_table = isinstance(item["input"], Mapping)
                hint = _foreign_key(root, tree, loc, item["input"])
                hint = hint or _nearest_key(root, loc, is_table=is_table)
                problems.append(f"{label}: there is no such setting.{hint}")
            else:
                hint = _value_hint(root, loc, item)
                value = short_value(item["input"])
                problems.append(f"{label}: found {value}. {_expected(loc, item)}.{hint}")
        config = None
    return None if problems else config, list(dict.fromkeys(problems))


def _label(root: type, labels: Mapping[tuple[str, ...], str], place: Place) -> str:
    """Return the name under which the value at a place was given."""
    loc = tuple(str(part) for part in place)
    in_named = len(loc) > 3 and loc[1] == section_of(root, loc[0]).named_tables
    above = (
        ".".join((labels[loc[:n]], *(loc[n:] if in_named else ())))
        for n in range(len(loc), 0, -1)
        if loc[:n] in labels
    )
    below = (label for path, label in labels.items() if path[: len(loc)] == loc)
    label = next(chain(above, below), path_in_recipe(root, loc))
    if len(loc) > 2 and loc[1] == section_of(root, loc[0]).listed_tables:
        label += f", table {int(loc[2]) + 1}" + (f": {loc[-1]}" if len(loc) > 3 else "")
    return label


def _at(tree: Any, place: Place) -> Any:
    for key in place:
        tree = tree[key]
    return tree


def _expected(loc: tuple[str, ...], error: Mapping[str, Any]) -> str:
    """Return what a setting takes where pydantic has refused another value."""
    if error["type"] == "dataclass_type":
        if len(loc) > 2 and loc[-1].isdecimal():  # one of [[data]]
            return "Expected a table with its source"
        return f"Expected a table, [{'.'.join(loc)}]"
    if error["type"] == "string_type" and type(error["input"]) in (int, float):
        return f'Expected text; in quotes it is: "{error["input"]}"'
    return str(error["msg"]).partition(", unable to parse string")[0]


@cache
def _validator(root: type) -> Callable[[Mapping[str, Any]], Any]:
    """Return the validator of a class of settings, which takes long to make."""
    from pydantic import TypeAdapter

    return TypeAdapter(root).validate_python


def _value_hint(root: type, loc: tuple[str, ...], error: Mapping[str, Any]) -> str:
    """Return what to type instead of a value that pydantic refused, if that is known."""
    from nextfill.config.foreign_values import value_hint  # not for --help
    from nextfill.config.typed_numbers import is_number, number_hint

    setting = next((one for one in settings(root) if one.path == loc), None)
    if setting is None:
        return ""
    is_share = 1 in (error.get("ctx", {}).get(bound) for bound in ("lt", "le"))
    is_whole = int in (parts := [*kinds(setting.annotation)]) and float not in parts
    if number := number_hint(error["input"], is_whole=is_whole) if is_number(parts) else "":
        return number
    said = "" if is_whole else value_hint(setting.keyword, error["input"], is_share=is_share)
    return said or (f" {setting.hint}." if setting.hint else "")


def _foreign_key(root: type, tree: Mapping[str, Any], loc: tuple[str, ...], value: object) -> str:
    """Return our way to say a key of another program's, as a recipe says it, or ""."""
    from nextfill.config.other_names import advice, answer, as_key  # not for --help

    known = {setting.keyword: setting.path for setting in settings(root)}

    def write(keyword: str, given: str | None) -> str:
        return as_key(".".join(known.get(keyword, (keyword,))), given)

    if len(loc) == 1 and isinstance(value, Mapping):  # a section that is none of ours
        return "".join(_foreign_key(root, tree, (*loc, key), one) for key, one in value.items())
    section = tree.get(loc[0])
    beside = section if isinstance(section, Mapping) else {}
    plain = isinstance(value, str | int | float)
    if plain and loc[-1] in known and known[loc[-1]][-1] != loc[-1]:  # lora.lora_alpha
        return f" That is {write(loc[-1], str(value))} here."
    of_section = answer(f"{loc[0]}_{loc[-1]}", value, [*known], write)  # lora.r
    return of_section or advice(loc[-1], value, [*known], write, beside)


def _nearest_key(root: type, loc: tuple[str, ...], *, is_table: bool) -> str:
    nested = sections(root)
    if is_table and len(loc) == 1 and (hint := nearest(loc[0], nested)):
        return hint  # a section, and no setting of one, be that as near
    everything = {setting.path[-1]: setting for setting in settings(root)}
    if loc[-1] in everything:  # right name, wrong section
        return f" Did you mean '{'.'.join(everything[loc[-1]].path)}'?"
    if len(loc) > 3 and loc[1] == section_of(root, loc[0]).named_tables:
        return nearest(loc[-1], [item.name for item in fields(EvaluationSet)])
    if len(loc) > 1 and loc[0] in nested:
        return nearest(loc[-1], [item.name for item in fields(nested[loc[0]])])
    return nearest(loc[-1], [*everything, *nested])
