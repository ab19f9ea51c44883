"""What a run's settings may tell others: names, and no paths of this machine."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any
from urllib.parse import urlsplit

_TEXTS = ("sample_prompt", "join", "prompt", "text")
"""Settings that are text, and no path whatever they look like."""

_PRIVATE_SECTIONS = ("share", "out", "cache_dir")
_NOT_ON_THE_HUB = ("builtin:", "scratch:", "live:")
_HUB_NAME = re.compile(r"[\w][\w.-]*/[\w][\w.-]*")


def hub_model(name: object) -> str | None:
    """Return a model's Hub id, None if it is no such.

    Example:
        >>> hub_model("distilbert/distilgpt2"), hub_model("/home/me/model"), hub_model("builtin:x")
        ('distilbert/distilgpt2', None, None)
    """
    text = str(name)
    if text.startswith(_NOT_ON_THE_HUB) or _is_path(text) or "://" in text:
        return None
    return text if re.fullmatch(r"[\w][\w.-]*(/[\w][\w.-]*)?", text) else None


def hub_data(source: object) -> str | None:
    """Return a data set's Hub id without configuration and revision, None if it is no such.

    Example:
        >>> hub_data("me/rows:one@0123abc"), hub_data("notes.txt"), hub_data("builtin:stdlib-docs")
        ('me/rows', None, None)
    """
    text = str(source)
    name = re.split(r"[:@]", text, maxsplit=1)[0]
    if text.startswith(_NOT_ON_THE_HUB) or "://" in text or _is_path(text):
        return None
    return name if _HUB_NAME.fullmatch(name) else None


def plain_name(value: str) -> str:
    """Return a name for others: of a path its last part, of an address neither user nor query.

    Example:
        >>> plain_name("/home/me/notes.txt"), plain_name("https://me:secret@host/x.jsonl?key=1")
        ('notes.txt', 'https://host/x.jsonl')
    """
    if _is_path(value):
        return PureWindowsPath(PurePosixPath(value).name).name or value
    if "://" in value:
        try:
            parts = urlsplit(value)
        except ValueError:
            return value.partition("://")[0]
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    return value


def _is_path(text: str) -> bool:
    return (
        PurePosixPath(text).is_absolute()
        or text.startswith(("~", "./", "../"))
        or PureWindowsPath(text).is_absolute()
    )


def shareable(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings with names in place of paths, and without what concerns this machine alone.

    Example:
        >>> shareable({"cache_dir": "/tmp/x", "data": {"source": "/home/me/notes.txt"}})
        {'data': {'source': 'notes.txt'}}
    """
    return {key: _clean(key, one) for key, one in settings.items() if key not in _PRIVATE_SECTIONS}


def _clean(key: str, value: Any) -> Any:
    if isinstance(value, Mapping):
        return {inner: _clean(inner, one) for inner, one in value.items()}
    if isinstance(value, list):
        return [_clean(key, one) for one in value]
    return plain_name(value) if isinstance(value, str) and key not in _TEXTS else value
