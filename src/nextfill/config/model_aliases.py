"""Two names of one field of a model's configuration: the later layer's value holds.

transformers reads ``num_experts`` of a Mixtral as its ``num_local_experts``, and where a
configuration has both, it takes one of them whatever the order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from nextfill.config.options import Assignment
from nextfill.config.prefixes import SCRATCH
from nextfill.config.shorthands import normal_form

_CONFIG = ("model", "config")


def under_one_name(
    root: type, layers: Sequence[Sequence[Assignment]]
) -> tuple[list[Sequence[Assignment]], list[str]]:
    """Return layers in which a field of ``model.config`` has one name throughout, and problems.

    Fields that stand under one of their names alone keep it. A problem is a layer that gives one
    field two values, under two names.
    """
    spelled_out = [
        [field for one in normal_form(root, layer) for field in _each_field(one)]
        for layer in layers
    ]
    every = [one for layer in spelled_out for one in layer]
    kinds = [str(one.value) for one in every if one.path == ("model", "name")]
    names = {one.path[2] for one in every if one.path[:2] == _CONFIG and len(one.path) > 2}
    if len(names) < 2 or not kinds or not kinds[-1].startswith(SCRATCH):
        return [*layers], []
    aliases = _aliases(kinds[-1].removeprefix(SCRATCH), names)
    if not aliases:
        return [*layers], []
    problems = [problem for layer in spelled_out for problem in _problems(layer, aliases)]
    return [[_renamed(one, aliases) for one in layer] for layer in spelled_out], problems


def _renamed(one: Assignment, aliases: dict[str, str]) -> Assignment:
    name = _own_name(one, aliases)
    return replace(one, path=(*_CONFIG, *name)) if name else one


def _each_field(one: Assignment) -> list[Assignment]:
    if one.path != _CONFIG or not isinstance(one.value, dict):
        return [one]
    return [
        Assignment((*_CONFIG, key), value, f"{one.label}.{key}") for key, value in one.value.items()
    ]


def _aliases(kind: str, names: set[str]) -> dict[str, str]:
    """Return the name that stands for each of those that share a field with another of them."""
    from transformers import CONFIG_MAPPING  # not for --help

    if kind not in CONFIG_MAPPING:
        return {}
    fields: dict[str, list[str]] = {}
    for name in sorted(names):
        fields.setdefault(CONFIG_MAPPING[kind].attribute_map.get(name, name), []).append(name)
    shared = {field: several for field, several in fields.items() if len(several) > 1}
    return {name: field for field, several in shared.items() for name in several}


def _own_name(one: Assignment, aliases: dict[str, str]) -> tuple[str, ...]:
    """Return the keys below ``model.config`` of a field of two names, or nothing."""
    if one.path[:2] != _CONFIG or len(one.path) < 3 or one.path[2] not in aliases:
        return ()
    return (aliases[one.path[2]], *one.path[3:])


def _problems(layer: Sequence[Assignment], aliases: dict[str, str]) -> list[str]:
    given: dict[tuple[str, ...], list[Assignment]] = {}
    for one in layer:
        if name := _own_name(one, aliases):
            given.setdefault(name, []).append(one)
    return [
        f"{' and '.join(one.label for one in several)} are one setting, given as "
        f"{' and '.join(str(one.value) for one in several)}: leave one of them out."
        for several in given.values()
        if len({one.path for one in several}) > 1 and len({str(one.value) for one in several}) > 1
    ]
