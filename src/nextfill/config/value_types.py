"""Types that a setting does not take although pydantic would: it reads 1 as true, and "yes" too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import is_dataclass
from functools import cache
from typing import Any, get_args, get_origin, get_type_hints

from nextfill.config.command_line.typed_numbers import is_number, point_of_thousands
from nextfill.config.options import Assignment, settings

Place = tuple[str | int, ...]


def kinds(annotation: Any) -> Iterator[Any]:
    """Yield the types that an annotation is made of.

    Example:
        >>> float in kinds(float | None), float in kinds(list[str])
        (True, False)
    """
    yield annotation
    for part in get_args(annotation):
        yield from kinds(part)


def mistaken_values(root: type, tree: Mapping[str, Any]) -> Iterator[tuple[Place, str]]:
    """Yield the place of each value that pydantic would take for another, with what is wanted.

    Truths that are none or stand for a number, and numbers with a point before three digits.

    Example:
        >>> from nextfill.config import TrainConfig
        >>> list(mistaken_values(TrainConfig, {"training": {"epochs": True, "compile": "yes"}}))
        [(('training', 'epochs'), 'Expected a number.'), \
(('training', 'compile'), 'Expected true or false.')]
    """
    yield from _of_table(root, tree, ())


def _of_table(owner: type, table: Mapping[str, Any], place: Place) -> Iterator[tuple[Place, str]]:
    for name, annotation in _fields(owner).items():
        if name in table:
            yield from _of_value(annotation, table[name], (*place, name))


def _of_value(annotation: Any, value: Any, place: Place) -> Iterator[tuple[Place, str]]:
    parts = set(kinds(annotation))
    owner = next((one for one in parts if isinstance(one, type) and is_dataclass(one)), None)
    if owner is not None:
        for beyond, one in _tables(annotation, value):
            if isinstance(one, Mapping):
                yield from _of_table(owner, one, (*place, *beyond))
    elif bool in parts and not isinstance(value, bool) and value is not None:
        yield place, "Expected true or false."
    elif isinstance(value, bool) and parts & {int, float} and bool not in parts:
        yield place, "Expected a number."
    elif (
        isinstance(value, str)
        and (is_number([*parts]) and float not in parts)
        # Of 1.000 pydantic makes 1, and half of Europe means a thousand.
        and (meant := point_of_thousands(value))
    ):
        yield place, f"It is a thousand to some, and one to others. {meant}"


def _tables(annotation: Any, value: Any) -> Iterator[tuple[Place, Any]]:
    """Yield the tables of a section, with their places in it: itself, a list's, or those named."""
    if isinstance(value, list):
        yield from (((number,), one) for number, one in enumerate(value))
    elif get_origin(annotation) is dict and isinstance(value, Mapping):
        yield from (((name,), one) for name, one in value.items())
    else:
        yield (), value


@cache
def _fields(owner: type) -> Mapping[str, Any]:
    return get_type_hints(owner, include_extras=True)


_TRUTHS = {
    **dict.fromkeys(("true", "yes", "on", "1"), True),
    **dict.fromkeys(("false", "no", "off", "0"), False),
}


def truth_of(word: object) -> Any:
    """Return the truth that a typed word stands for, the word itself where it stands for none.

    Example:
        >>> truth_of("on"), truth_of(0), truth_of("maybe")
        (True, False, 'maybe')
    """
    return _TRUTHS.get(str(word).strip().lower(), word)


def as_typed(root: type, item: Assignment) -> Any:
    """Return a setting's value; what ``--set`` read is text again, or a truth, where that is taken.

    A shell has no types, so that the name of a folder may be typed as 2024. A recipe has them.

    Example:
        >>> from nextfill.config import TrainConfig
        >>> as_typed(TrainConfig, Assignment(("model", "name"), 2024, "--set model.name"))
        '2024'
    """
    value = item.value
    if not item.label.startswith("--set ") or not isinstance(value, int | float | str):
        return value
    kind = next((one.kind for one in settings(root) if one.path == item.path), None)
    if kind is bool:
        return truth_of(value)
    return str(value) if kind is str and not isinstance(value, bool) else value
