"""A record as lines of text, a field each, and texts cut to a width."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from nextfill.core.streams import printable

WIDTH = 100
"""Characters of a line, unless the terminal has another number."""

_MOST_ELEMENTS = 3
_DEEPEST = 6


def value_lines(value: Any, depth: int = 0) -> list[str]:
    r"""Return a record in lines, a field each and what it holds below it, control characters shown.

    Example:
        >>> print(*value_lines({"id": 3, "answers": [{"text": "yes\n"}, {"text": "no"}]}), sep="\n")
        id: 3
        answers: 2 elements
          text: "yes\n"
          ... 1 more
    """
    if isinstance(value, Mapping) and depth < _DEEPEST:
        lines = []
        for key, inner in value.items():
            first, *below = _entry(inner, depth + 1)
            lines.append(f"{printable(str(key))}:{' ' if first else ''}{first}")
            lines += [f"  {line}" for line in below]
        return lines or ["{}"]
    return [text for text in _entry(value, depth) if text]


def _entry(value: Any, depth: int) -> list[str]:
    """Return what stands behind a field's name, and the lines below it."""
    if isinstance(value, Mapping) and value and depth < _DEEPEST:
        return ["", *value_lines(value, depth)]
    if isinstance(value, list) and any(isinstance(one, Mapping | list) for one in value):
        inner = value_lines(value[0], depth + 1) if depth < _DEEPEST else []
        more = [f"... {len(value) - 1:,} more"] if len(value) > 1 else []
        return [f"{len(value):,} element{'s' if len(value) > 1 else ''}", *inner, *more]
    if isinstance(value, list):
        shown = ", ".join(map(scalar, value[:_MOST_ELEMENTS]))
        more_ = f", ... {len(value) - _MOST_ELEMENTS:,} more" if len(value) > _MOST_ELEMENTS else ""
        return [f"[{shown}{more_}]"]
    return [scalar(value)]


def scalar(value: Any) -> str:
    """Return a value as JSON, a text no longer than could be shown."""
    text = value if isinstance(value, str) else None
    return printable(json.dumps(value, ensure_ascii=False) if text is None else quoted(text))


def quoted(text: str, most: int = 12 * WIDTH) -> str:
    """Return a text in quotes, no longer than could be shown."""
    return json.dumps(text[:most], ensure_ascii=False)


def cut(text: str, width: int) -> str:
    """Return a text cut to a width, a long one with dots at its end.

    Example:
        >>> cut("Once upon a time", 9), cut("Once", 9)
        ('Once u...', 'Once')
    """
    return text if len(text) <= width else f"{text[: max(width - 3, 0)]}..."
