"""Paths through nested records: those that reach text, their lengths, and their parts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from nextfill.core.json_text import DEEPEST

_MOST_PATHS = 40
_LONGEST_PATH = 200


def string_paths(value: Any, prefix: str = "", kind: type = str, depth: int = 0) -> list[str]:
    """List the paths of a record that reach text.

    Example:
        >>> string_paths({"id": 3, "answers": [{"text": "yes"}], "tags": ["a", "b"]})
        ['answers[].text', 'tags']
    """
    if isinstance(value, kind):
        return [prefix.removesuffix("[]")]
    paths: dict[str, None] = {}
    if depth > DEEPEST:
        return []
    if isinstance(value, Mapping):
        for key, inner in value.items():
            path = f"{prefix}.{key}" if prefix else str(key)
            paths |= dict.fromkeys(string_paths(inner, path, kind, depth + 1))
    elif isinstance(value, list):
        for inner in value[:_MOST_PATHS]:
            paths |= dict.fromkeys(string_paths(inner, f"{prefix}[]", kind, depth + 1))
    return list(paths)


def text_length(value: Any, path: str) -> int:
    """Count the characters of text at a path of `string_paths`."""
    if isinstance(value, list):
        return sum(text_length(inner, path) for inner in flattened(value))
    if not path:
        return len(value) if isinstance(value, str) else 0
    for name, rest in leading_keys(path):
        if isinstance(value, Mapping) and name in value:
            return text_length(value[name], rest)
    return 0


def longest_first(value: Any, paths: Sequence[str]) -> list[str]:
    """Sort paths by the length of their text in a record: an id is shorter than what is meant.

    Example:
        >>> longest_first({"id": "a1", "body": "Once upon a time"}, ["id", "body"])
        ['body', 'id']
    """
    return sorted(paths, key=lambda path: -text_length(value, path))


def flattened(value: list[Any]) -> Iterator[Any]:
    """Yield the elements of a list, and of the lists in it, however deep.

    Example:
        >>> list(flattened([1, [2, [3], []], {"a": [4]}]))
        [1, 2, 3, {'a': [4]}]
    """
    open_ = [iter(value)]
    while open_:
        for inner in open_[-1]:
            if isinstance(inner, list):
                open_.append(iter(inner))
                break
            yield inner
        else:
            open_.pop()


def path_list(paths: Sequence[str]) -> str:
    """List the first few paths for a message, without those too long to type."""
    listed = [path for path in paths if len(path) <= _LONGEST_PATH][:_MOST_PATHS] or paths[:1]
    more = f" and {len(paths) - len(listed)} more" if len(paths) > len(listed) else ""
    return ", ".join(map(display_path, listed)) + more


def display_path(path: str) -> str:
    r"""Return a path for a message, quoted if some character of it does not show.

    Example:
        >>> display_path("answers.text"), display_path("text\t")
        ('answers.text', "'text\\t'")
    """
    return path if path.isprintable() else repr(path)


@lru_cache
def leading_keys(path: str) -> tuple[tuple[str, str], ...]:
    """Return each split of a path into its first key and the rest, the longest key first.

    Example:
        >>> leading_keys("a[].b")
        (('a[].b', ''), ('a[]', 'b'), ('a', 'b'))
    """
    keys: dict[tuple[str, str], None] = {}
    end = len(path)
    while end >= 0:
        key = path[:end]
        keys |= dict.fromkeys((name, path[end + 1 :]) for name in (key, key.removesuffix("[]")))
        end = path.rfind(".", 0, end)
    return tuple(keys)
