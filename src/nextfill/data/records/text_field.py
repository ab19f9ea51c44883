"""Which field of the records is the text, and which column of a table holds it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nextfill.core.errors import DataError
from nextfill.core.json_text import DEEPEST
from nextfill.data.document import Record
from nextfill.data.records.column_json import AS_ROWS, UNCLEAR

if TYPE_CHECKING:
    import pyarrow as pa

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
    found: dict[str, None] = {}
    if depth > DEEPEST:
        return []
    if isinstance(value, Mapping):
        for key, inner in value.items():
            path = f"{prefix}.{key}" if prefix else str(key)
            found |= dict.fromkeys(string_paths(inner, path, kind, depth + 1))
    elif isinstance(value, list):
        for inner in value[:_MOST_PATHS]:
            found |= dict.fromkeys(string_paths(inner, f"{prefix}[]", kind, depth + 1))
    return list(found)


def elements(value: list[Any]) -> Iterator[Any]:
    """Yield what stands in a list, and in the lists in it, however deep.

    Example:
        >>> list(elements([1, [2, [3], []], {"a": [4]}]))
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


def some(paths: Sequence[str]) -> str:
    """List the first few paths, and none that nobody would type."""
    listed = [path for path in paths if len(path) <= _LONGEST_PATH][:_MOST_PATHS] or paths[:1]
    more = f" and {len(paths) - len(listed)} more" if len(paths) > len(listed) else ""
    return ", ".join(map(visible, listed)) + more


def visible(path: str) -> str:
    r"""Return a path as a message shows it, though its names may hold what does not show.

    Example:
        >>> visible("answers.text"), visible("text\t")
        ('answers.text', "'text\\t'")
    """
    return path if path.isprintable() else repr(path)


def heads(path: str) -> Iterator[tuple[str, str]]:
    """Yield each way to take the first key off a path: the key and the rest, longest key first.

    Example:
        >>> list(heads("a[].b"))
        [('a[].b', ''), ('a[].b', ''), ('a[]', 'b'), ('a', 'b')]
    """
    end = len(path)
    while end >= 0:
        key = path[:end]
        for name in (key, key.removesuffix("[]")):
            yield name, path[end + 1 :]
        end = path.rfind(".", 0, end)


def columns_for(paths: Sequence[str], schema: pa.Schema) -> list[str] | None:
    """Return the only columns of a table that paths need, or None if all are to be read."""
    from pyarrow import types

    names = schema.names
    found = [next((name for name, _ in heads(path) if name in names), None) for path in paths]
    wanted = [name for name in dict.fromkeys(found) if name and names.count(name) == 1]
    if not found or None in found or len(wanted) < len(set(found)):
        return None
    return None if types.is_primitive(schema.field(wanted[0]).type) else wanted


def choose(record: Record, wanted: str | None) -> str:
    """Return the path of the text; an empty one means that the record is the text."""
    if isinstance(record.value, str):
        if wanted:
            raise DataError(
                f"{record.where}: the records are plain text, so there is no field {wanted!r}. "
                "Leave --text-field out."
            )
        return ""
    if wanted:
        if not all(name.removesuffix("[]") for name in wanted.split(".")):
            raise DataError(
                f"--text-field {wanted!r} has an empty name. "
                "Expected names joined with single dots, such as answers.text or data[].text."
            )
        return wanted
    if "text" in record.value:
        return "text"
    # What has no name, as the names of R's and pandas' rows in CSV, is never meant.
    paths = [path for path in string_paths(record.value) if path]
    # A field that is null here may hold text further on.
    nulls = [path for path in string_paths(record.value, kind=type(None)) if path not in paths]
    if len(paths) == 1 and not nulls:
        return paths[0]
    raise _open(record, paths, nulls)


def _text_at(value: Any, path: str) -> int:
    """Return how many characters of text a path of `string_paths` reaches."""
    if isinstance(value, list):
        return sum(_text_at(inner, path) for inner in elements(value))
    if not path:
        return len(value) if isinstance(value, str) else 0
    for name, rest in heads(path):
        if isinstance(value, Mapping) and name in value:
            return _text_at(value[name], rest)
    return 0


def _open(record: Record, paths: Sequence[str], nulls: Sequence[str]) -> DataError:
    """Return the error for a first record that does not tell where the text is."""
    # The one with the most text is most likely meant, and an id is not.
    lengths = {path: _text_at(record.value, path) for path in paths}
    ordered = [*sorted(paths, key=lambda path: -lengths[path]), *nulls]
    names = [visible(path) for path in ordered]
    hint = f" Name the text, for example --text-field {names[0]}" if names else ""
    if len(paths) == 1:
        verb = "hold" if len(nulls) > 1 else "holds"
        found = f"{names[0]} holds text and {some(nulls)} {verb} null, and may hold text later on."
        return DataError(f"{record.where}: {found}{hint}")
    found = f"{len(paths)} fields with text: {some(paths)}" if paths else "no field with text"
    found += f" (null here: {some(nulls)})" if nulls else ""
    hint = AS_ROWS if record.where.endswith(UNCLEAR) else hint
    return DataError(f"{record.where}: found {found}; expected one, or one named 'text'.{hint}")
