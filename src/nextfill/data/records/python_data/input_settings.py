"""Settings that hold data instead of naming them: those of a Python program, and what a pipe gives.

They become names of files in the cache before anything reads them, so that a run's settings are
names and numbers alone.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from nextfill.config import DataConfig, EvaluationConfig
from nextfill.config.options import Assignment
from nextfill.core.errors import ConfigError
from nextfill.core.paths import STANDARD_INPUT, is_address
from nextfill.core.progress import Progress
from nextfill.core.url_redaction import has_secret
from nextfill.data.records.python_data.dataset_splits import divided_into_splits
from nextfill.data.records.python_data.input_files import copy_to_cache, write_live
from nextfill.data.records.python_data.live_records import hold_for_training
from nextfill.data.records.python_data.python_records import is_name, is_scalar, split_hint

PLACES = (("data", "source"), ("data", "eval_source"))
"""The settings that take live data, beside the evaluation sets."""


def data_files(
    config: Any,
    live: Sequence[Assignment],
    on_progress: Progress,
    most_bytes: int = sys.maxsize,
) -> list[Assignment]:
    """Write live data, standard input and secret addresses to files, and return settings of these.

    Args:
        config: The config of all other settings, which are valid then: no iterator is used up
            before.
        live: The second half of `separate_live`.
        on_progress: Receives the stage, and how far it is.
        most_bytes: Bytes after which standard input is not read on, for a look at its beginning.
    """
    once = _read_once(config)
    if not live and not once:
        return []
    from nextfill.data.store.store_cache import cache_dir

    cache = cache_dir(config.cache_dir)
    files = []
    for one in once:
        format_flag = config.data.format if one.path == PLACES[0] else None
        copy = copy_to_cache(one.value, cache, format_flag, on_progress, most_bytes)
        files.append(replace(one, value=str(copy)))
    for one in live:
        name = hold_for_training(config, one)
        if name is None and _is_live(one):
            name = str(write_live(one.value, cache, one.label, on_progress))
        files.append(one if name is None else replace(one, value=name))
    return files


def separate_live(
    assignments: Sequence[Assignment],
) -> tuple[list[Assignment], list[Assignment]]:
    """Separate settings that are names and numbers from those that are data themselves.

    Example:
        >>> texts = Assignment(("data", "source"), ["one", "two"], "data")
        >>> separate_live([texts, Assignment(("seed",), 1, "seed")])[1] == [texts]
        True
    """
    single = [one for item in divided_into_splits(assignments) for one in _spread(item)]
    sets = {one.path[:2] for one in single if _is_live(one) and one.path not in PLACES}
    live = [one for one in single if _is_live(one) or one.path[:2] in sets]
    plain = [one for one in single if not any(one is other for other in live)]
    unknown = [one for one in plain if one.path[:1] == ("data",) and not _is_setting(one.path)]
    inside = [one.path[-1] for one in unknown if not is_scalar(one.value)]
    if inside:
        raise ConfigError([f"data: found a dict of {', '.join(inside)}. {split_hint(inside)}"])
    return plain, live


def _spread(assignment: Assignment) -> list[Assignment]:
    """Divide an evaluation set in one dict into its settings."""
    path, value, label = assignment.path, assignment.value, assignment.label
    is_set = len(path) == 2 and path[0] == "evaluation"
    if not is_set or not isinstance(value, Mapping) or "source" not in value:
        return [assignment]
    return [Assignment((*path, key), inner, f"{label}.{key}") for key, inner in value.items()]


def _is_setting(path: tuple[str, ...]) -> bool:
    """Check for a setting of the data or of evaluations, whose value may be a list."""
    names = {"data": DataConfig, "evaluation": EvaluationConfig}
    return len(path) < 2 or path[1] in {item.name for item in fields(names[path[0]])}


def _is_live(assignment: Assignment) -> bool:
    path, value = assignment.path, assignment.value
    if path in PLACES:
        return not is_name(value)
    if path[0] != "evaluation" or isinstance(value, Mapping) or _is_setting(path):
        return False
    return path[2:] in ((), ("source",)) and not is_scalar(value)


def _read_once(config: Any) -> list[Assignment]:
    """Return the settings that name standard input, or an address with a secret in it."""
    data, sets = config.data, getattr(getattr(config, "evaluation", None), "sets", {})
    several = [name for one in data.sources for name in (one.source, one.eval_source)]
    if any(name is not None and needs_copy(name) for name in several):
        raise ConfigError(
            [
                "data: standard input, and addresses that hold a secret, cannot be among several "
                "sources: keep what they give in a file first."
            ]
        )
    named = [
        Assignment(PLACES[0], data.source, "--data"),
        Assignment(PLACES[1], data.eval_source, "--eval-data"),
        *(
            Assignment(("evaluation", name, "source"), one.source, f"evaluation.{name}")
            for name, one in sets.items()
        ),
    ]
    once = [one for one in named if one.value is not None and needs_copy(one.value)]
    standard = [one.label for one in once if one.value == STANDARD_INPUT]
    if len(standard) > 1:
        raise ConfigError(
            [f"{' and '.join(standard)} both name standard input, which can be read once."]
        )
    return once


def needs_copy(spec: str) -> bool:
    """Check whether a ``--data`` argument can be read only once, or holds a secret.

    Example:
        >>> needs_copy("-"), needs_copy("https://x.org/a.txt?key=1f"), needs_copy("notes.txt")
        (True, True, False)
    """
    return spec == STANDARD_INPUT or (is_address(spec) and has_secret(spec))
