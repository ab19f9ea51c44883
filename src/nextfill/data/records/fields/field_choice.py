"""The choice of fields: the text of a record, and the context that may come before it."""

from __future__ import annotations

import re
from collections.abc import Iterable

from nextfill.core.errors import DataError
from nextfill.data.document import Record
from nextfill.data.records.fields.field_errors import (
    CONTEXT_FLAG,
    MOST_SEEN,
    TEXT_FLAG,
    text_lengths,
    unclear_field,
)
from nextfill.data.records.fields.field_paths import string_paths
from nextfill.data.records.fields.tokenized import tokens_in, tokens_message
from nextfill.data.records.records_ahead import Ahead

_NUMBER = re.compile(r"[-+]?\d[\d.,]*")
PROMPT, COMPLETION = "prompt", "completion"
"""Fields of a context and of what is learnt after it, as other programs name them."""


def chosen_fields(
    record: Record,
    text_field: str | None,
    context_field: str | None,
    others: Iterable[Record] = (),
    *,
    pairs: bool = True,
) -> tuple[str, str | None]:
    """Return the paths of the text and of its context by a first record.

    With ``pairs``, records that have both a prompt and a completion as text need neither named.
    """
    if context_field is None:
        if pairs and text_field is None and _is_pair(record):
            return COMPLETION, PROMPT
        return text_path(record, text_field, others), None
    if isinstance(record.value, str):
        raise DataError(
            f"{record.where}: the records are plain text, so there is no field {context_field!r}. "
            f"Leave {CONTEXT_FLAG} out."
        )
    _check_path(context_field, CONTEXT_FLAG)
    if text_field is None and context_field != COMPLETION:
        if isinstance(record.value.get(COMPLETION), str):
            return COMPLETION, context_field
        # What is context is no candidate for the text.
        rest = {name: value for name, value in record.value.items() if name != context_field}
        record = record._replace(value=rest)
    return text_path(record, text_field, others), context_field


def _is_pair(record: Record) -> bool:
    value = record.value
    if isinstance(value, str) or "text" in value or not {PROMPT, COMPLETION} <= value.keys():
        return False
    # One that is null here holds text further on.
    kinds = [type(value[name]) for name in (PROMPT, COMPLETION)]
    return str in kinds and {*kinds} <= {str, type(None)}


def check_alone(record: Record, taken: str) -> None:
    """Refuse half of a pair beside the other where the first record had one, taken for all."""
    other = PROMPT if taken == COMPLETION else COMPLETION
    if not isinstance(record.value, str) and isinstance(record.value.get(other), str):
        raise DataError(
            f"{record.where}: found a {other} beside the {taken}, and the first record has "
            f"none. Name the text: {TEXT_FLAG} {COMPLETION}, with {CONTEXT_FLAG} {PROMPT} before "
            f"it; or {TEXT_FLAG} {taken} alone."
        )


def _check_path(field: str, flag: str) -> None:
    if not all(name.removesuffix("[]") for name in field.split(".")):
        raise DataError(
            f"{flag} {field!r} has an empty name. "
            "Expected names joined with single dots, such as answers.text or data[].text."
        )


def _but_numbers(record: Record, texts: list[str], others: Iterable[Record]) -> list[str]:
    """Return the paths of texts but for columns of numbers, which CSV holds as text, if any rest.

    They hold nothing else in the first records, as far as these are read already.
    """
    near = others.peek(MOST_SEEN - 1) if isinstance(others, Ahead) else []
    rows = [one.value for one in (record, *near) if not isinstance(one.value, str)]

    def is_number(path: str) -> bool:
        cells = [str(row[path]).strip() for row in rows if isinstance(row.get(path), str)]
        return any(cells) and all(not cell or _NUMBER.fullmatch(cell) for cell in cells)

    return [path for path in texts if not is_number(path)] or texts


def text_path(record: Record, field: str | None, others: Iterable[Record] = ()) -> str:
    """Return the path of the text in a first record; it is empty if the record is the text.

    Of the ``others`` after it the first are read for a message where none can be told.
    """
    if isinstance(record.value, str):
        if field:
            raise DataError(
                f"{record.where}: the records are plain text, so there is no field {field!r}. "
                "Leave --text-field out."
            )
        return ""
    tokens = tokens_in(record.value)
    # A column without a name, as the row names of R and pandas in CSV, is never meant.
    texts = [path for path in string_paths(record.value) if path and path not in tokens]
    if tokens and (field in tokens or not texts):
        raise DataError(tokens_message(record.where, tokens, texts))
    if field:
        _check_path(field, TEXT_FLAG)
        return field
    if "text" in record.value:
        return "text"
    # A field that is null here may hold text further on.
    nulls = [path for path in string_paths(record.value, kind=type(None)) if path not in texts]
    if len(texts) > 1:
        texts = _but_numbers(record, texts, others)
    if len(texts) == 1 and not nulls:
        return texts[0]
    raise unclear_field(record, texts, nulls, text_lengths(record, others))
