"""Values of a Python program, one record at a time: checked, and written as lines of JSON."""

from __future__ import annotations

import datetime
import decimal
import io
import json
import sys
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import suppress
from os import PathLike
from pathlib import Path, PurePath
from typing import Any

from nextfill.core.amounts import with_article
from nextfill.core.errors import ConfigError, DataError
from nextfill.data.records.fields.field_errors import half_character
from nextfill.data.records.fields.tokenized import IDS, tokens_in, tokens_message
from nextfill.data.records.python_data.data_frames import is_lazy

_BUFFER_BYTES = 1 << 20
_MOST_SHOWN = 40
_LONGEST_FILE_NAME = 255
_AS_TEXT = (
    datetime.date,
    datetime.time,
    datetime.timedelta,
    decimal.Decimal,
    PurePath,
)
"""Types without a counterpart in JSON, written as their text."""


def check_kind(keyword: str, value: object) -> None:
    """Refuse a value without records, or with records in no order."""
    found = f"{keyword}: found {with_article(value)}"
    if isinstance(value, Mapping):
        keys = list(value)
        named = ", ".join(map(str, keys[:8]))
        raise ConfigError([f"{found} of {named}. {split_hint(keys, keyword)}"])
    if isinstance(value, Set):
        raise ConfigError([f"{found}, which has no order to repeat: pass sorted({keyword})."])
    if isinstance(value, io.IOBase):
        raise ConfigError([f"{found}: pass the path of the file."])
    if isinstance(value, type) or (callable(value) and not hasattr(value, "__iter__")):
        raise ConfigError(
            [f"{found}: pass what it returns, {keyword}={getattr(value, '__name__', keyword)}()."]
        )
    if is_lazy(value):
        return
    ways = (hasattr(value, way) for way in ("__iter__", "__len__", "__arrow_c_stream__"))
    if isinstance(value, bytes | bytearray) or not any(ways):
        raise ConfigError(
            [
                f"{found}; expected a path, a Hub id, builtin:NAME, a list or an iterator of texts "
                "or dicts, a datasets.Dataset, or a data frame."
            ]
        )
    if isinstance(value, list | tuple) and value and all(map(_is_file, value)):
        raise ConfigError([f"{found} of file names: pass one path, or the texts in the files."])


def _join_hint(record: object, keyword: str) -> str:
    """Return advice on a list of texts in the place of a text."""
    if isinstance(record, list | tuple) and record and all(isinstance(one, str) for one in record):
        joined = '[" ".join(texts) for texts in {}]'
        name = keyword.partition("[")[0]
        if name != keyword:  # one split of a dict of them
            each = f"{{split: {joined.format('rows')} for split, rows in {name}.items()}}"
            return f". Join its texts: {name}={each}"
        return f". Join its texts: {keyword}={joined.format(keyword)}"
    return ""


def split_hint(keys: Sequence[object], keyword: str = "data") -> str:
    """Return advice on values to pass instead of a dict of splits or columns with these keys.

    Example:
        >>> split_hint(["text", "label"])
        'Pass columns as a data frame, pandas.DataFrame(data), or row by row as a list of dicts.'
    """
    split = next((key for key in keys if key in ("train", "test", "validation")), None)
    if split is not None:
        return f"Pass one split of a data set, such as {keyword}=dataset[{split!r}]."
    return (
        f"Pass columns as a data frame, pandas.DataFrame({keyword}), or row by row as a list of "
        "dicts."
    )


def is_name(value: object) -> bool:
    """Check for a setting that names data, or is not set."""
    return value is None or isinstance(value, str | PathLike)


def is_scalar(value: object) -> bool:
    """Check for a name or a number, which are settings and not data."""
    return is_name(value) or isinstance(value, bool | int | float)


def _is_file(value: object) -> bool:
    if not isinstance(value, str | PurePath) or len(str(value)) > _LONGEST_FILE_NAME:
        return False
    with suppress(OSError, ValueError):
        return Path(value).is_file()
    return False


def write_lines(
    records: Iterable[object],
    keyword: str,
    write: Callable[[bytes], None],
    default: Callable[[Any], Any] | None = None,
) -> tuple[int, str]:
    r"""Write one JSON object a line, and return the number and the noun of the records.

    A dict is written as it is, a text or None as ``{"text": ...}``; ``default``, or `plain`,
    converts values that JSON cannot hold.

    Example:
        >>> pieces = []
        >>> write_lines(["é", None], "data", pieces.append), b"".join(pieces).decode()
        ((2, 'texts'), '{"text": "é"}\n{"text": null}\n')
    """
    buffer = bytearray()
    counted = (0, "texts")

    def each() -> Iterator[bytes]:
        nonlocal counted
        counted = yield from json_lines(records, keyword, default)

    for line in each():
        buffer += line
        if len(buffer) >= _BUFFER_BYTES:
            write(bytes(buffer))
            buffer.clear()
    if buffer:
        write(bytes(buffer))
    return counted


def json_lines(
    records: Iterable[object], keyword: str, default: Callable[[Any], Any] | None = None
) -> Generator[bytes, None, tuple[int, str]]:
    """Yield the lines that `write_lines` writes, and return the number and noun of the records."""
    number, noun, null_at = -1, "", -1
    for number, record in enumerate(records):
        where = f"{keyword}, record {number}"
        if record is None:
            null_at = number if null_at < 0 else null_at
        elif not isinstance(record, str | Mapping):
            if tokens_in({IDS[0]: record if isinstance(record, list) else plain_or_text(record)}):
                raise DataError(tokens_message(where, [with_article(record)]))
            raise DataError(
                f"{where}: found {_shown(record)}; expected a text, or a dict with one"
                + _join_hint(record, keyword)
            )
        else:
            kind = "texts" if isinstance(record, str) else "records"
            if noun not in ("", kind):
                raise DataError(f"{where}: found {with_article(record)}; those before are {noun}")
            noun = kind
        if noun == "records" and null_at >= 0:
            raise DataError(f"{keyword}, record {null_at}: found None; expected a dict")
        yield _line(record, where, default or plain)
    return number + 1, noun or "texts"


def _line(record: Any, where: str, default: Callable[[Any], Any]) -> bytes:
    value = dict(record) if isinstance(record, Mapping) else {"text": record}
    try:
        return _json(value, default).encode() + b"\n"
    except UnicodeEncodeError as error:
        raise half_character(f"{where}: the text", error) from error
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
    # Python's limit is for the input of strangers, not for a number beside the user's own text.
    limit = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    try:
        return json.dumps(value, ensure_ascii=False, default=default)
    finally:
        sys.set_int_max_str_digits(limit)


def _is_json(value: object, default: Callable[[Any], Any]) -> bool:
    try:
        _json(value, default)
    except (TypeError, ValueError, RecursionError):
        return False
    return True


def plain(value: Any) -> Any:
    """Convert a value that JSON cannot hold, where there is one obvious way."""
    if isinstance(value, _AS_TEXT) or type(value).__module__ == "uuid":
        return str(value)
    if isinstance(value, Mapping):
        return dict(value)
    if hasattr(value, "tolist"):  # an array or a number of NumPy's, or a tensor
        return value.tolist()
    raise TypeError(f"found {_shown(value)}")


def plain_or_text(value: Any) -> Any:
    """Convert any value that JSON cannot hold, if need be to its text under its type.

    Example:
        >>> plain_or_text(b"z"), plain_or_text(range(2))
        ({'bytes': "b'z'"}, {'range': 'range(0, 2)'})
    """
    try:
        return plain(value)
    except TypeError:
        return {type(value).__name__: str(value)}


def _shown(value: object) -> str:
    text = repr(value)
    short = text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}..."
    return f"a value of type {type(value).__name__} ({short})"
