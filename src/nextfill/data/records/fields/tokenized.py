"""Records that hold tokens in the place of text, as a guide's ``map(tokenize)`` leaves them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

IDS = ("input_ids", "token_ids")
"""Names under which transformers, and programs like it, keep the ids of tokens."""

BESIDE_IDS = ("attention_mask", "token_type_ids", "labels", "special_tokens_mask", "position_ids")

_WRITTEN = re.compile(r"\s*\[[\s\d,.-]*\]?\s*")
"""Ids in a cell of CSV, whose end may be cut off."""

ADVICE = (
    "Nextfill makes the tokens itself. Give the text from before it was tokenized: leave out "
    "map(tokenize, ...), whose remove_columns took the text away, and group_texts after it, and "
    "pass what load_dataset gave"
)


def tokens_in(value: Any) -> list[str]:
    """Return the names of the columns of tokens in a record, none if it holds no ids.

    Example:
        >>> tokens_in({"input_ids": [5, 7], "attention_mask": [1, 1], "title": "x"})
        ['input_ids', 'attention_mask']
        >>> tokens_in({"input_ids": "a text"}), tokens_in("a text")
        ([], [])
    """
    if not isinstance(value, Mapping) or not any(_are_ids(value.get(name)) for name in IDS):
        return []
    return [name for name in (*IDS, *BESIDE_IDS) if name in value]


def tokens_message(where: str, names: Sequence[str], texts: Sequence[str] = ()) -> str:
    """Return the message about a record of tokens, beside which there may be text."""
    found = f"{where}: found tokens ({', '.join(names)}) in the place of text"
    if texts:
        return f"{found}. Nextfill makes them itself: name a field of text, {', '.join(texts)}."
    return f"{found}. {ADVICE}."


def _are_ids(value: Any) -> bool:
    """Check for a list of integers, also of several texts, or for one that was written as text."""
    while isinstance(value, list) and value and isinstance(value[0], list):
        value = value[0]
    if isinstance(value, str):
        return bool(value) and _WRITTEN.fullmatch(value[:200]) is not None
    if not isinstance(value, list) or not value:
        return False
    return all(isinstance(one, int) and not isinstance(one, bool) for one in value[:100])
