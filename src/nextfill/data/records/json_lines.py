"""Texts and dicts, one by one, as lines of JSON."""

from __future__ import annotations

import datetime
import decimal
import json
import sys
import uuid
from collections.abc import Callable, Iterable, Mapping
from pathlib import PurePath
from typing import Any

from nextfill.core.errors import DataError

_BUFFER_BYTES = 1 << 20
_MOST_SHOWN = 40
_AS_TEXT = (
    datetime.date,
    datetime.time,
    datetime.timedelta,
    decimal.Decimal,
    uuid.UUID,
    PurePath,
)
"""What JSON does not have, and is written as its text."""


def write_lines(
    records: Iterable[object],
    keyword: str,
    write: Callable[[bytes], None],
    default: Callable[[Any], Any] | None = None,
) -> tuple[int, str]:
    r"""Write one JSON object a line: a dict as it is, a text or None as ``{"text": ...}``.

    Example:
        >>> pieces = []
        >>> write_lines(["é", None], "data", pieces.append), b"".join(pieces).decode()
        ((2, 'texts'), '{"text": "é"}\n{"text": null}\n')
    """
    buffer = bytearray()
    number, noun, null_at = -1, "", -1
    for number, record in enumerate(records):
        where = f"{keyword}, record {number}"
        if record is None:
            null_at = number if null_at < 0 else null_at
        elif not isinstance(record, str | Mapping):
            raise DataError(f"{where}: found {_shown(record)}; expected a text, or a dict with one")
        else:
            kind = "texts" if isinstance(record, str) else "records"
            if noun not in ("", kind):
                raise DataError(
                    f"{where}: found a {type(record).__name__}; those before are {noun}"
                )
            noun = kind
        if noun == "records" and null_at >= 0:
            raise DataError(f"{keyword}, record {null_at}: found None; expected a dict")
        buffer += _line(record, where, default or plain)
        if len(buffer) >= _BUFFER_BYTES:
            write(bytes(buffer))
            buffer.clear()
    if buffer:
        write(bytes(buffer))
    return number + 1, noun or "texts"


def _line(record: Any, where: str, default: Callable[[Any], Any]) -> bytes:
    value = dict(record) if isinstance(record, Mapping) else {"text": record}
    try:
        return _json(value, default).encode() + b"\n"
    except UnicodeEncodeError as error:
        found = f"\\u{ord(error.object[error.start]):04x}"
        raise DataError(
            f"{where}: the text holds {found}, half of a surrogate pair, which is not a character. "
            "Write the text again with whole characters."
        ) from error
    except (TypeError, ValueError, RecursionError) as error:
        field = next((key for key, inner in value.items() if not _is_json(inner, default)), None)
        there = "" if field is None else f"the field {field!r} "
        raise DataError(
            f"{where}: {there}cannot be written as JSON ({error}). Leave it out, or make it text."
        ) from error


def _json(value: object, default: Callable[[Any], Any]) -> str:
    """Return a value as JSON, however many digits its integers have."""
    try:
        return json.dumps(value, ensure_ascii=False, default=default)
    except ValueError as error:
        if "digits" not in str(error):
            raise
    # Python's limit is for what strangers send; a number beside a text of the user's own is no
    # concern of anybody's.
    limit = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    try:
        return json.dumps(value, ensure_ascii=False, default=default)
    finally:
        sys.set_int_max_str_digits(limit)


def plain(value: Any) -> Any:
    """Return what JSON has for what it does not, where one thing is meant by it."""
    if isinstance(value, _AS_TEXT):
        return str(value)
    if isinstance(value, Mapping):
        return dict(value)
    if hasattr(value, "tolist"):  # an array or a number of NumPy's, or a tensor
        return value.tolist()
    raise TypeError(f"found {_shown(value)}")


def _is_json(value: object, default: Callable[[Any], Any]) -> bool:
    try:
        _json(value, default)
    except (TypeError, ValueError, RecursionError):
        return False
    return True


def _shown(value: object) -> str:
    text = repr(value)
    short = text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}..."
    return f"a value of type {type(value).__name__} ({short})"
