"""JSON beyond what Python's scanner takes: integers of thousands of digits, and very deep nesting.

Beside the text such values are nobody's concern. The number is kept exactly, as a `Decimal`; what
lies deeper than any path to a text is left out, and an empty object stands in its place.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Any

DEEPEST = 100
"""Lists and objects within one another that are read."""

_TOKEN = re.compile(r'"(?:[^"\\]+|\\.)*(?P<end>"?)|[\[\]{}]', re.DOTALL)
_CLOSES = {"[": "]", "{": "}"}


def whole_number(digits: str) -> int | Decimal:
    """Return an integer of any number of digits.

    Example:
        >>> whole_number("12"), type(whole_number("9" * 5000)).__name__
        (12, 'Decimal')
    """
    try:
        return int(digits)
    except ValueError:
        return Decimal(digits)


any_number = json.JSONDecoder(parse_int=whole_number)
"""A decoder that takes integers of any number of digits; slower than the usual one."""


def loads(text: str) -> Any:
    """Return the value of a JSON text, as `json.loads`, whatever its depth and its integers."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        raise
    except ValueError:
        return any_number.decode(text)
    except RecursionError:
        found = shallow(text)
        if found is None or text[found[1] :].strip(" \t\r\n"):
            raise
        return found[0]


def shallow(text: str, at: int = 0) -> tuple[Any, int] | None:
    """Return a value without what lies deeper than `DEEPEST`.

    Example:
        >>> shallow('{"text": "one", "deep": [[2]]} and more')
        ({'text': 'one', 'deep': [[2]]}, 30)
    """
    kept: list[str] = []
    open_: list[str] = []
    start = at
    for token in _TOKEN.finditer(text, at):
        mark = token[0]
        if mark in _CLOSES:
            if len(open_) == DEEPEST:
                kept.append(text[start : token.start()])
            open_.append(_CLOSES[mark])
        elif mark in ("]", "}"):
            if not open_ or open_.pop() != mark:
                return None
            if len(open_) == DEEPEST:
                kept.append("{}")
                start = token.end()
            if not open_:
                kept.append(text[start : token.end()])
                return any_number.decode("".join(kept)), token.end()
        elif not token["end"]:
            return None
    return None
