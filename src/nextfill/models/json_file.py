"""Read a JSON file of a model's folder, whose size and depth are bounded."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nextfill.errors import ModelError

MEGABYTE = 2**20
DEEPEST = 64
"""Levels of lists and objects within one another; libraries copy them by calling themselves."""


def read_json(path: Path, *, megabytes: int = 16) -> dict[str, Any]:
    """Read a JSON object.

    Args:
        path: A regular file.
        megabytes: How large it may be.

    Raises:
        ModelError: If it is larger, deeper, no regular file, or holds no JSON object.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise ModelError(f"{path} is no regular file: expected a file with a JSON object.")
        if status.st_size > megabytes * MEGABYTE:
            raise ModelError(
                f"{path} holds {status.st_size:,} bytes; expected JSON of {megabytes} MB at most. "
                "Fetch it again."
            )
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} is damaged: {error}. Expected a JSON object.") from error
    except RecursionError as error:
        raise ModelError(_too_deep(path)) from error
    if not isinstance(content, dict):
        raise ModelError(
            f"{path} holds a JSON {type(content).__name__}; expected an object, {{...}}."
        )
    if _is_deeper(content, DEEPEST):
        raise ModelError(_too_deep(path))
    return content


def settings_in(value: Any, keys: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield every plain value in JSON with the keys that lead to it; lists have none.

    Example:
        >>> list(settings_in({"a": {"b": [1, 2]}, "c": None}))
        [(('a', 'b'), 1), (('a', 'b'), 2), (('c',), None)]
    """
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from settings_in(inner, (*keys, key))
    elif isinstance(value, list):
        for inner in value:
            yield from settings_in(inner, keys)
    else:
        yield keys, value


def _too_deep(path: Path) -> str:
    return (
        f"{path} is damaged: its lists and objects lie more than {DEEPEST} deep within one another."
    )


def _is_deeper(content: dict[str, Any], limit: int) -> bool:
    level: list[Any] = [content]
    for _ in range(limit):
        level = [
            inner
            for one in level
            for inner in (one.values() if isinstance(one, dict) else one)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return False
    return True
