"""Settings that are given twice, in whatever forms, with values of which one would be lost."""

from __future__ import annotations

from collections.abc import Iterable

from nextfill.config.options import Assignment, values_by_path
from nextfill.config.shorthands import in_own_form, normal_form


def conflicts(root: type, layer: Iterable[Assignment]) -> list[str]:
    """Return a problem for each setting that one layer gives two values.

    Example:
        >>> from nextfill.config import TrainConfig
        >>> two = Assignment(("seed",), "1", "--seed"), Assignment(("seed",), 2, "--set seed")
        >>> conflicts(TrainConfig, two)
        ['--seed and --set seed are one setting, given as 1 and 2: leave one of them out.']
    """
    given: dict[tuple[str, ...], list[tuple[str, str]]] = {}
    for one in normal_form(root, layer):
        for path, value in values_by_path(in_own_form(root, one.path, one.value), one.path):
            given.setdefault(path, []).append((one.label, str(value)))
    return [problem for each in given.values() if (problem := _problem(each))]


def _problem(given: list[tuple[str, str]]) -> str:
    labels, values = (list(dict.fromkeys(column)) for column in zip(*given, strict=True))
    if len(values) == 1:
        return ""
    as_values = f"{', '.join(values[:-1])} and {values[-1]}"
    if len(labels) == 1:
        return (
            f"{labels[0]} is given {len(given)} times, as {as_values}, and takes one value: leave "
            "the others out."
        )
    return (
        f"{', '.join(labels[:-1])} and {labels[-1]} are one setting, given as {as_values}: leave "
        "one of them out."
    )
