"""Strict JSON to write, and a reader of JSON beyond the limits of Python's scanner.

Integers of thousands of digits become exact `Decimal` values; a value nested deeper than any path
to a text becomes an empty object.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from decimal import Decimal
from typing import Any

DEEPEST = 100
"""Levels of lists and objects that are read."""

_TOKEN = re.compile(r'"(?:[^"\\]+|\\.)*(?P<end>"?)|[\[\]{}]', re.DOTALL)
_CLOSES = {"[": "]", "{": "}"}
_SURROGATE = re.compile("[\ud800-\udfff]")


def to_json(value: Any, *, ascii_only: bool = False) -> str:
    """Return strict JSON on one line, with null for NaN and infinity, which JSON lacks.

    Example:
        >>> to_json({"perplexity": float("inf"), "text": "é"})
        '{"perplexity": null, "text": "é"}'
    """
    return escape_surrogates(json.dumps(_finite(value), ensure_ascii=ascii_only, allow_nan=False))


def escape_surrogates(text: str) -> str:
    r"""Escape lone surrogates as JSON does, so that a file in UTF-8 can hold the text.

    Example:
        >>> escape_surrogates("caf\udce9.txt")
        'caf\\udce9.txt'
    """
    return _SURROGATE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def has_surrogates(text: str) -> bool:
    r"""Tell whether a text holds lone surrogates, which UTF-8 cannot hold.

    Example:
        >>> has_surrogates("caf\udce9"), has_surrogates("café")
        (True, False)
    """
    return not text.isascii() and _SURROGATE.search(text) is not None


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def parse_integer(digits: str) -> int | Decimal:
    """Parse an integer of any number of digits.

    Example:
        >>> parse_integer("12"), type(parse_integer("9" * 5000)).__name__
        (12, 'Decimal')
    """
    try:
        return int(digits)
    except ValueError:
        return Decimal(digits)


BIG_INTEGER_DECODER = json.JSONDecoder(parse_int=parse_integer)
"""A decoder of integers of any number of digits; slower than the usual one."""


def loads(text: str) -> Any:
    """Parse a JSON text as `json.loads` does, whatever its depth and its integers."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        raise
    except ValueError:
        return BIG_INTEGER_DECODER.decode(text)
    except RecursionError:
        parsed = parse_shallow(text)
        if parsed is None or text[parsed[1] :].strip(" \t\r\n"):
            raise
        return parsed[0]


def repeated_key(text: str) -> str | None:
    """Return a key that stands twice in one object of a JSON text, whose first value is lost.

    Example:
        >>> repeated_key('{"id": 1, "text": "one", "text": "two"}')
        'text'
        >>> repeated_key('{"text": "one", "more": {"text": "two"}}')
    """
    repeated: list[str] = []

    def look(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            counts = Counter(key for key, _ in pairs)
            repeated.append(next(key for key, count in counts.items() if count > 1))
        return found

    try:
        json.loads(text, object_pairs_hook=look)
    except (ValueError, RecursionError):  # told, or read otherwise, where the value is read
        return None
    return repeated[0] if repeated else None


def parse_shallow(text: str, at: int = 0) -> tuple[Any, int] | None:
    """Parse a value with an empty object for each one deeper than `DEEPEST`.

    Returns the value and its end in the text; None where the brackets do not match.

    Example:
        >>> parse_shallow('{"text": "one", "deep": [[2]]} and more')
        ({'text': 'one', 'deep': [[2]]}, 30)
    """
    parts: list[str] = []
    open_: list[str] = []
    start = at
    for token in _TOKEN.finditer(text, at):
        mark = token[0]
        if mark in _CLOSES:
            if len(open_) == DEEPEST:
                parts.append(text[start : token.start()])
            open_.append(_CLOSES[mark])
        elif mark in ("]", "}"):
            if not open_ or open_.pop() != mark:
                return None
            if len(open_) == DEEPEST:
                parts.append("{}")
                start = token.end()
            if not open_:
                parts.append(text[start : token.end()])
                return BIG_INTEGER_DECODER.decode("".join(parts)), token.end()
        elif not token["end"]:
            return None
    return None
