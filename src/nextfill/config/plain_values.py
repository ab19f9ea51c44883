"""Settings of plain values, made without pydantic, which takes 0.1 s to import and to get ready.

It sees all others: what it takes although it is written in another way, and what it refuses.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from nextfill.config.bounds import Bound
from nextfill.core.json_text import has_surrogates

_WHOLE = re.compile(r"0|[1-9][0-9]{0,17}")
_DECIMAL = re.compile(r"(0|[1-9][0-9]{0,14})(\.[0-9]{1,15})?(e-?[0-9]{1,2})?")
_EXACT = 1 << 53
"""Below it every whole number is a float."""


class NotPlainError(Exception):
    """A value is not of a setting's own type, or out of its bounds: pydantic has to see it."""


def of_plain_values(owner: type, table: Mapping[str, Any]) -> Any:
    """Return the settings that pydantic would make of a table.

    Args:
        owner: A class of settings.
        table: Values by the names of settings, numbers also as text.

    Raises:
        NotPlainError: A value is not plain, there is no such setting, or one has to be given.

    Example:
        >>> from nextfill.config import DataConfig
        >>> of_plain_values(DataConfig, {"source": "a.txt", "test_size": "0.1"}).test_size
        0.1
    """
    annotations = _annotations(owner)
    if type(table) is not dict or not table.keys() <= annotations.keys():
        raise NotPlainError
    made: Any = object.__new__(owner)  # as pydantic does: not `owner`, which may remember arguments
    for item in fields(owner):
        if item.name in table:
            value = _plain(annotations[item.name], table[item.name])
        elif item.default_factory is not MISSING:
            value = item.default_factory()
        else:
            value = item.default
        if value is MISSING:
            raise NotPlainError
        object.__setattr__(made, item.name, value)
    return made


@cache
def _annotations(owner: type) -> Mapping[str, Any]:
    hints = get_type_hints(owner, include_extras=True)
    return {item.name: hints[item.name] for item in fields(owner)}


def _plain(annotation: Any, value: Any) -> Any:
    """Return a value as it is set, or raise `NotPlainError`."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _within(_plain(parts[0], value), parts[1:])
    if origin is not None:
        return _of_parts(origin, parts, value)
    if annotation is Any:
        return value
    if isinstance(annotation, type) and is_dataclass(annotation):
        return of_plain_values(annotation, value)
    return _scalar(annotation, value)


def _of_parts(origin: Any, parts: tuple[Any, ...], value: Any) -> Any:
    """Return the value of a union, a list, a table or one of several words."""
    if origin in (Union, UnionType):
        others = [part for part in parts if part is not NoneType]
        if value is None and len(others) < len(parts):
            return None
        if len(others) == 1:  # of several types pydantic chooses
            return _plain(others[0], value)
    elif origin is Literal and type(value) is str and value in parts:
        return value
    elif origin is list and type(value) is list:
        return [_plain(parts[0], one) for one in value]
    elif origin is dict and type(value) is dict:
        return {_plain(parts[0], key): _plain(parts[1], one) for key, one in value.items()}
    raise NotPlainError


def _scalar(kind: Any, value: Any) -> Any:
    """Return a text, a truth or a number, which may be written out."""
    given = type(value)
    if kind is str and given is str and not has_surrogates(value):
        return value
    if kind is bool and given is bool:
        return value
    if kind is int and (given is int or (given is str and _WHOLE.fullmatch(value))):
        return int(value)
    if kind is float:
        if given is float and math.isfinite(value):
            return value
        if given is int and -_EXACT < value < _EXACT:
            return float(value)
        if given is str and _DECIMAL.fullmatch(value):
            return float(value)
    raise NotPlainError


def _within(value: Any, bounds: tuple[Any, ...]) -> Any:
    """Return a value that is within all bounds."""
    if not all(isinstance(bound, Bound) and bound.holds(value) for bound in bounds):
        raise NotPlainError
    return value
