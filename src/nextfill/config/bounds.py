"""Bounds of a setting's values, written in its annotation; pydantic keeps them."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, ClassVar

_IS_WITHIN: dict[str, Callable[[Any, float], bool]] = {
    "ge": operator.ge,
    "gt": operator.gt,
    "le": operator.le,
    "lt": operator.lt,
    "min_length": lambda text, limit: len(text) >= limit,
}


class Bound:
    """A bound of numbers or of a text's length; ``annotated_types`` take 0.01 s to import.

    Args:
        limit: The number that a value is compared with.
    """

    key: ClassVar[str]
    """Its name in a schema of pydantic."""

    def __init__(self, limit: float) -> None:
        self.limit = limit

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.limit == other.limit

    def __hash__(self) -> int:
        return hash((self.key, self.limit))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.limit})"

    def __get_pydantic_core_schema__(
        self, source: Any, handler: Callable[[Any], dict[str, Any]]
    ) -> dict[str, Any]:
        return {**handler(source), self.key: self.limit}

    def holds(self, value: Any) -> bool:
        """Check that a value is within the bound.

        Example:
            >>> Ge(0).holds(0), Ge(0).holds(-1)
            (True, False)
        """
        return _IS_WITHIN[self.key](value, self.limit)


class Ge(Bound):
    """At least so much."""

    key = "ge"


class Gt(Bound):
    """More than so much."""

    key = "gt"


class Le(Bound):
    """At most so much."""

    key = "le"


class Lt(Bound):
    """Less than so much."""

    key = "lt"


class MinLen(Bound):
    """At least so many characters."""

    key = "min_length"
