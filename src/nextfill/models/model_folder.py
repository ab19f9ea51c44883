"""Files of a model's folder: regular ones, JSON of bounded size, and library errors in words."""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nextfill.core.errors import ModelError, NextfillError

WEIGHTS = "*.safetensors"
_MEGABYTES: dict[str, int | None] = {
    "*config.json": 16,
    "config.*.json": 16,
    "chat_template*": 16,
    "additional_chat_templates/*": 16,
    "special_tokens_map.json": 16,
    "added_tokens.json": 64,
    "tokenizer*.json": 128,
    "tekken.json": 128,
    "vocab.json": 128,
    "vocab.*": 16,
    "merges.txt": 64,
    "*.model": 64,
    "*.tiktoken": 64,
    "*.index.json": 64,
    WEIGHTS: None,
}
"""The files of a model's folder that anything reads, and how many megabytes they may hold."""


def regular_files(folder: Path, *, with_weights: bool) -> list[Path]:
    """Return the files of a folder that would be read, having refused what is no regular file."""
    found: dict[Path, int | None] = {}
    for pattern, megabytes in _MEGABYTES.items():
        if pattern != WEIGHTS or with_weights:
            for path in folder.glob(pattern):
                found.setdefault(path, megabytes)
    for path, megabytes in found.items():
        check_file(path, folder, megabytes=megabytes)
    return sorted(found)


def check_file(path: Path, folder: Path, *, megabytes: int | None = None) -> None:
    """Refuse a file that is no regular one, is too large, or lies outside of a model's folder."""
    try:
        target = path.resolve(strict=True)
        status = target.stat()
    except (OSError, RuntimeError, ValueError) as error:  # RuntimeError of links in a circle
        if path.is_symlink():
            raise ModelError(
                f"{path} is a link that leads nowhere: put the file itself there."
            ) from error
        raise ModelError(f"{path} cannot be read: {error}.") from error
    if not any(target.is_relative_to(root) for root in _roots(folder)):
        raise ModelError(
            f"{path} leads out of the model's folder, to {target}. Only files within the folder "
            "are read: put the file itself there."
        )
    if stat.S_ISDIR(status.st_mode):
        return  # which whatever looks for a file there does not find
    if not stat.S_ISREG(status.st_mode):
        raise ModelError(f"{path} is {_kind(status.st_mode)}, not a regular file: remove it.")
    if megabytes is not None and status.st_size > megabytes * MEGABYTE:
        raise ModelError(
            f"{path} holds {status.st_size:,} bytes; expected {megabytes} MB at most. Fetch it "
            "again."
        )


def _roots(folder: Path) -> Iterator[Path]:
    """Yield where a folder's files may lie; those of a snapshot in the Hub's cache are blobs."""
    real = folder.resolve()
    yield real
    if real.parent.name == "snapshots":
        yield real.parent.parent / "blobs"


def _kind(mode: int) -> str:
    if stat.S_ISFIFO(mode):
        return "a pipe (FIFO)"
    if stat.S_ISSOCK(mode):
        return "a socket"
    return "a device"


MEGABYTE = 2**20
DEEPEST = 64
"""Levels of lists and objects within one another; libraries copy them by calling themselves."""


def read_json(path: Path, *, megabytes: int = 16) -> dict[str, Any]:
    """Read a JSON object."""
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


_RAISED = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    re.error,
)
_OWN = {"SafetensorError", "StrictDataclassError", "PanicException"}
"""Names of types that are no kind of the others; a panic's cannot be imported."""

_LONGEST = 400
"""Characters of a library's message that are shown."""


@contextmanager
def library_errors(what: str, advice: str = "") -> Iterator[None]:
    """Turn what a library raises within into a `ModelError`."""
    try:
        yield
    except NextfillError:
        raise
    except BaseException as error:
        if not _is_library_error(error):
            raise
        end = f" {advice}" if advice else ""
        raise ModelError(f"{what}: {_in_short(error)}.{end}") from error


def _is_library_error(error: BaseException) -> bool:
    if isinstance(error, _RAISED) or type(error) is Exception:  # as tokenizers raises
        return True
    return any(base.__name__ in _OWN for base in type(error).__mro__)


def _in_short(error: BaseException) -> str:
    """Return an error's type and the beginning of its message, on one line."""
    text = " ".join(str(error).split()).rstrip(".")
    if len(text) > _LONGEST:
        text = f"{text[:_LONGEST]}..."
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
