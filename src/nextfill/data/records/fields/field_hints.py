"""Hints on fields: the name that was meant, and objects that were written into a field as text."""

from __future__ import annotations

import ast
import json
import logging
import re
import warnings
from collections.abc import Callable, Mapping
from typing import Any

from nextfill.config.command_line.python_messages import as_called
from nextfill.core.errors import nearest
from nextfill.data.document import Source
from nextfill.data.records.fields.field_paths import (
    display_path,
    leading_keys,
    longest_first,
    string_paths,
)

logger = logging.getLogger("nextfill")

_ARRAYS = "NumPy's arrays"
_ARRAY = re.compile(r"\barray\((\[.*?\]),\s*dtype=\w+\)", re.DOTALL)
"""As a frame of pandas writes the lists of a data set into CSV."""

ENOUGH_TEXTS = 3
"""Texts of objects after which a field is known to hold them."""

_MOST_CHARACTERS = 100_000
"""Characters of a text beyond which it is not read as an object."""


def nearest_path(path: str, lengths: Mapping[str, int]) -> str:
    """Return a hint with the path that was most likely meant, or "".

    Args:
        path: The path that leads nowhere.
        lengths: The paths that reach text, and the characters at each.

    Example:
        >>> nearest_path("text", {"q_id": 5, "answers[].text": 90, "title[].text": 40})
        " Did you mean 'answers[].text'?"
        >>> nearest_path("titel", {"title": 40, "answers[].text": 90})
        " Did you mean 'title'?"
    """
    plain = path.replace("[]", "").lower()
    below = [one for one in lengths if one.replace("[]", "").lower().endswith(f".{plain}")]
    if below and plain:
        return _meant(max(below, key=lengths.__getitem__))
    if hint := nearest(path, lengths):
        return hint
    heads = {one: one.partition(".")[0].removesuffix("[]") for one in lengths}
    if not nearest(path, heads.values()):
        return ""
    close = [one for one, head in heads.items() if nearest(path, [head])]
    return _meant(max(close, key=lengths.__getitem__))


def _meant(path: str) -> str:
    return f" Did you mean {path!r}?"


def object_as_text(record: Any, path: str) -> str:
    """Return a hint for a path into a field that holds an object written as text, or "".

    Example:
        >>> object_as_text({"answers": '{"text": ["Yes."]}'}, "answers.text")[:42]
        " The field 'answers' holds JSON as text: r"
    """
    for name, rest in leading_keys(path):
        text = record.get(name) if isinstance(record, Mapping) else None
        if isinstance(text, str) and rest:
            return _how_to_read(name, text)
    return ""


def _how_to_read(field: str, text: str) -> str:
    """Return how a field of objects written as text is read, or "" where it holds none."""
    kind, value = _object_in(text)
    inner = longest_first({field: value}, string_paths(value, field)) if kind else []
    if not inner:
        return ""
    if kind == _ARRAYS:
        way = "write the data as JSON lines in its place, dataset.to_json('FILE.jsonl')"
    else:
        function = "json.loads" if kind == "JSON" else "ast.literal_eval"
        way = (
            f"read it and write JSON lines, with pandas by frame[{field!r}] = "
            f"frame[{field!r}].map({function}) and frame.to_json('FILE.jsonl', "
            "orient='records', lines=True)"
        )
    return (
        f" The field {field!r} holds {kind} as text: {way}, and name the text in it, for example "
        f"--text-field {display_path(inner[0])}"
    )


def _object_in(text: str) -> tuple[str, Any]:
    """Return the kind and the value of a list or dict that is written as text, "" for none."""
    text = text.strip()
    if text[:1] not in ("{", "[") or text[-1:] not in ("}", "]") or len(text) > _MOST_CHARACTERS:
        return "", None
    for kind, read in _READERS.items():
        try:
            with warnings.catch_warnings(action="ignore"):  # of a backslash in it
                value = read(text)
        except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
            continue
        return kind, value
    return "", None


def _with_arrays(text: str) -> Any:
    return ast.literal_eval(_ARRAY.sub(r"\1", text))


_READERS: Mapping[str, Callable[[str], Any]] = {
    "JSON": json.loads,
    "a Python object": ast.literal_eval,
    _ARRAYS: _with_arrays,
}


class ObjectsAsText:
    """Tells, once for a source, that the first texts at a path are objects written as text."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._hints: list[str] = []

    def look_at(self, path: str, text: str) -> None:
        """Look at the first text of a record."""
        if path and len(self._hints) < ENOUGH_TEXTS:
            self._hints.append(_how_to_read(path, text))
            if len(self._hints) == ENOUGH_TEXTS:
                self.tell(path)

    def tell(self, path: str | None) -> None:
        """Tell what was seen, at the latest after the last record."""
        if self._hints and all(self._hints) and path not in self._source.noted_fields:
            self._source.noted_fields.add(path or "")
            logger.warning(
                "%s: brackets and names are trained on as text.%s",
                *(self._source.name, as_called(self._hints[0])),
            )
