"""Settings whose value is the data themselves, not a name: as Python callers may give them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from nextfill.config import DataConfig, EvaluationConfig
from nextfill.config.options import Assignment
from nextfill.core.errors import ConfigError
from nextfill.core.paths import STANDARD_INPUT
from nextfill.data.records.input_files import split_hint, write_live

PLACES = (("data", "source"), ("data", "eval_source"))
"""The settings that take live data, beside the evaluation sets."""


def set_live_aside(given: Sequence[Assignment]) -> tuple[list[Assignment], list[Assignment]]:
    """Part the settings that are names and numbers from those that are data themselves.

    Example:
        >>> texts = Assignment(("data", "source"), ["one", "two"], "data")
        >>> set_live_aside([texts, Assignment(("seed",), 1, "seed")])[1] == [texts]
        True
    """
    given = [one for item in given for one in _spread(item)]
    sets = {one.path[:2] for one in given if _is_live(one) and one.path not in PLACES}
    aside = [one for one in given if _is_live(one) or one.path[:2] in sets]
    plain = [one for one in given if not any(one is other for other in aside)]
    unknown = [one for one in plain if one.path[:1] == ("data",) and not _is_setting(one.path)]
    inside = [one.path[-1] for one in unknown if not _is_plain(one.value)]
    if inside:
        raise ConfigError([f"data: found a dict of {', '.join(inside)}. {split_hint(inside)}"])
    return plain, aside


def with_files(
    given: Sequence[Assignment],
    settle: Callable[[Sequence[Assignment]], Any],
    on_progress: Callable[[str, int, int], None],
) -> Sequence[Assignment]:
    """Write live data down, once the other settings are valid: no iterator is used up in vain."""
    plain, aside = set_live_aside(given)
    config = settle(plain)
    once = _read_once(config)
    if not aside and not once:
        return plain
    from nextfill.data.records.fetched_inputs import keep
    from nextfill.data.store.store_cache import cache_dir

    cache = cache_dir(config.cache_dir)
    for one in once:
        asked = config.data.format if one.path == PLACES[0] else None
        plain.append(replace(one, value=str(keep(one.value, cache, asked, on_progress))))

    def on_disk(one: Assignment) -> Assignment:
        path = write_live(one.value, cache, one.label, on_progress)
        return replace(one, value=str(path))

    return [*plain, *(on_disk(one) if _is_live(one) else one for one in aside)]


def _read_once(config: Any) -> list[Assignment]:
    """Return the settings that name standard input, or an address with a secret in it."""
    from nextfill.data.records.fetched_inputs import is_to_keep

    data, sets = config.data, getattr(getattr(config, "evaluation", None), "sets", {})
    several = [name for one in data.sources for name in (one.source, one.eval_source)]
    if any(name is not None and is_to_keep(name) for name in several):
        raise ConfigError(
            [
                "data: standard input, and addresses that hold a secret, cannot be among several "
                "sources: keep what they give in a file first."
            ]
        )
    named = [
        Assignment(PLACES[0], data.source, "--data"),
        Assignment(PLACES[1], data.eval_source, "--eval-data"),
    ]
    named += [
        Assignment(("evaluation", name, "source"), one.source, f"evaluation.{name}")
        for name, one in sets.items()
    ]
    once = [one for one in named if one.value is not None and is_to_keep(one.value)]
    standard = [one.label for one in once if one.value == STANDARD_INPUT]
    if len(standard) > 1:
        raise ConfigError(
            [f"{' and '.join(standard)} both name standard input, which can be read once."]
        )
    return once


def _spread(given: Assignment) -> list[Assignment]:
    """Return an evaluation set, given as a dict of its settings, setting by setting."""
    is_set = len(given.path) == 2 and given.path[0] == "evaluation"
    if not is_set or not isinstance(given.value, Mapping) or "source" not in given.value:
        return [given]
    items = given.value.items()
    return [Assignment((*given.path, key), value, f"{given.label}.{key}") for key, value in items]


def _is_setting(path: tuple[str, ...]) -> bool:
    """Tell a setting of the data or of evaluations, whose value may be a list, from data."""
    names = {"data": DataConfig, "evaluation": EvaluationConfig}
    return len(path) < 2 or path[1] in {item.name for item in fields(names[path[0]])}


def _is_live(given: Assignment) -> bool:
    path, value = given.path, given.value
    if path in PLACES:
        return not _is_name(value)
    if path[0] != "evaluation" or isinstance(value, Mapping) or _is_setting(path):
        return False
    is_source = len(path) == 2 or path[2:] == ("source",)
    return is_source and not _is_plain(value)


def _is_name(value: object) -> bool:
    return value is None or isinstance(value, str | os.PathLike)


def _is_plain(value: object) -> bool:
    return _is_name(value) or isinstance(value, bool | int | float)
