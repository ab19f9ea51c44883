"""What the user gave: settings as they were written, in a recipe, at a flag or as a keyword."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from os import PathLike
from pathlib import Path
from typing import Any

from nextfill.config import DataConfig, EvaluationSet
from nextfill.config.options import sections, settings
from nextfill.core.errors import nearest
from nextfill.core.json_text import escape_surrogates
from nextfill.core.url_redaction import scrub, without_secrets

ADDRESSES = ("source", "eval_source")
"""Settings that take an address, of which the data are kept where it holds a secret."""

MOST_SHOWN = 120
"""Characters of a bad value that a message shows."""


@dataclass(frozen=True)
class Assignment:
    """One value the user gave, and how they wrote it.

    Args:
        path: Where it lies in the config, such as ``("training", "epochs")``.
        value: The value, text where it came from a flag.
        label: How messages name it, such as ``--epochs`` or ``recipe.toml: training.epochs``.
    """

    path: tuple[str, ...]
    value: Any
    label: str


def leaves(tree: Mapping[str, Any], path: tuple[str, ...], label: str) -> list[Assignment]:
    """Return the settings of a recipe's tree, one by one; a section's own tables stay whole."""
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
    given: list[Assignment] = []
    problems: list[str] = []
    for name, value in keywords.items():
        if name in sections(root) and isinstance(value, Mapping):  # a section, whole
            given += leaves({name: value}, (), "")
        elif name == "data" and isinstance(value, DataConfig):
            given.append(Assignment(("data",), [_assignments_of(value)], name))
        elif name == "data" and is_list_of_sources(value):
            given.append(Assignment(("data",), [_assignments_of(one) for one in value], name))
        elif name in known:
            plain = str(value) if isinstance(value, Path) else value
            given.append(Assignment(known[name].path, plain, name))
        else:
            problems.append(f"There is no setting '{name}'.{nearest(name, known)}")
    return given, problems + _said_twice(root, given)


def _said_twice(root: type, given: Sequence[Assignment]) -> list[str]:
    """Return the settings that a section and a keyword both name, of which neither is the last."""
    labels: dict[tuple[str, ...], list[str]] = {}
    for one in given:
        labels.setdefault(full_path(root, one), []).append(one.label)
    return [
        f"{' and '.join(sorted(names))} are one setting: leave one of them out."
        for names in labels.values()
        if len(names) > 1
    ]


def is_list_of_sources(value: Any) -> bool:
    """Say whether a value is several sources, `DataConfig`s, rather than data themselves."""
    return isinstance(value, list | tuple) and any(isinstance(one, DataConfig) for one in value)


def _assignments_of(source: Any) -> dict[str, Any]:
    """Return what a source says: a `DataConfig`, a dict of settings, or a name alone."""
    if isinstance(source, DataConfig):
        said = {"source": source.source, **source.said}
    elif isinstance(source, Mapping) and "source" in source:
        said = dict(source)
    else:
        said = {"source": source}
    return {key: str(one) if isinstance(one, PathLike) else one for key, one in said.items()}


def parse_set(text: str) -> Assignment | str:
    """Read ``section.key=value``; return what is wrong with it as text if it cannot be read."""
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


def full_path(root: type, given: Assignment) -> tuple[str, ...]:
    """Return the place of a setting in the config.

    ``model = "gpt2"`` stands for ``name`` in ``[model]``. A table with a name of its own, such as
    [evaluation.general], lies in the section's field for such tables, and text in its place is
    what its shorthand names: ``general = "builtin:stdlib-docs"``.
    """
    path = given.path
    section = sections(root).get(path[0])
    listed = getattr(section, "listed_tables", None)
    if listed is not None and len(path) == 1 and isinstance(given.value, list):
        return (path[0], listed)
    shorthand, home = (getattr(section, name, None) for name in ("shorthand", "named_tables"))
    if section is not None and len(path) == 1 and shorthand is not None:
        return (path[0], shorthand)
    if section is None or home is None or len(path) < 2:
        return path
    is_table = len(path) > 2 or isinstance(given.value, dict | str)
    if path[1] in {item.name for item in fields(section)} or not is_table:
        return path
    is_text = len(path) == 2 and isinstance(given.value, str)
    return (path[0], home, *path[1:], *((EvaluationSet.shorthand,) if is_text else ()))


def secrets(root: type, layer: Sequence[Assignment]) -> Iterator[str]:
    """Say where a layer holds a secret that a run, a store or a card would record."""
    for one in layer:
        value = {} if full_path(root, one)[-1] in ADDRESSES else one.value
        if _holds_secret([".".join(one.path), value]):
            yield (
                f"{one.label}: found {short(one.value)}, which holds a password, a key or a "
                "token, and settings are recorded. Leave it out: secrets belong in the environment."
            )


def _holds_secret(value: Any) -> bool:
    """Tell whether a value, or a name or value in it, holds a secret; addresses of data may."""
    if isinstance(value, Mapping):
        named = {key: one for key, one in value.items() if key not in ADDRESSES}
        return any(map(_holds_secret, (*named, *named.values())))
    if isinstance(value, list | tuple):
        return any(map(_holds_secret, value))
    return isinstance(value, str) and without_secrets(value) != value


def short(value: object) -> str:
    """Return a bad value as a message shows it: not all of a long one, and no secret."""
    text = scrub(repr(value))  # whole, because of an address cut short its end is not known
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}... ({type(value).__name__})"
