"""Layers of settings, from keywords and ``--set``, and their merging into one validated config.

All mistakes are found before anything is done and are reported together, each with the nearest
known name.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from itertools import chain
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar

from nextfill.config import DataConfig
from nextfill.config.options import Assignment, Section, sections, settings
from nextfill.config.shorthands import (
    complete_sources,
    full_path,
    in_order,
    in_own_form,
    normal_form,
    replace_sources,
    section_of,
    source_conflicts,
)
from nextfill.config.validation import short_value, validated
from nextfill.config.value_types import as_typed
from nextfill.core.errors import ConfigError, nearest
from nextfill.core.json_text import escape_surrogates
from nextfill.core.url_redaction import without_secrets

C = TypeVar("C")

ADDRESSES = ("source", "eval_source")
"""Settings that take an address, whose data go into the cache where it holds a secret."""

_DATA = {("data", "source"), ("data", "eval_source")}
"""Settings with words of their own for what is no data."""


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
            from nextfill.config.foreign.foreign_objects import object_advice  # not for --help
            from nextfill.config.foreign.other_names import advice

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
    config, invalid = validated(root, tree, labels, complete_sources(root, tree))
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
