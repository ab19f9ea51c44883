"""Numbers as people type them, and as a setting takes them."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

_THOUSANDS = re.compile(r"[1-9]\d{0,2}([,'\u2019 \u00a0\u202f.])\d{3}(?:\1\d{3})*")
"""Digits in groups of three, as English, Swiss, French or German writes them."""

_DECIMAL = re.compile(r"-?\d*,\d+(e-?\d+)?", re.IGNORECASE)
_SUFFIXES = {"k": 1e3, "m": 1e6}
_MOST = 1e15


def is_number(kinds: Sequence[Any]) -> bool:
    """Check that a setting of some types takes a number and nothing else."""
    return bool({int, float} & {*kinds}) and str not in kinds


def point_of_thousands(text: str) -> str:
    """Return what to give in place of a whole number with points between its thousands, or "".

    Example:
        >>> point_of_thousands("1.000"), point_of_thousands("1000"), point_of_thousands("1.5")
        ('Give 1000, or 1.', '', '')
    """
    found = _THOUSANDS.fullmatch(text.strip())
    if found is None or found[1] != ".":
        return ""
    first = text.strip().partition(".")[0]
    return f"Give {text.strip().replace('.', '')}, or {first}."


def number_hint(value: object, *, is_whole: bool) -> str:
    """Return what to give in place of a text that is a number otherwise written, or "".

    Args:
        value: The value.
        is_whole: Whether the setting takes whole numbers alone.

    Example:
        >>> number_hint("1,000", is_whole=True), number_hint("1e1", is_whole=True)
        (' Give 1000.', ' Give 10.')
        >>> number_hint("1,5", is_whole=False), number_hint("0,001", is_whole=False)
        (' Give 1.5.', ' Give 0.001.')
        >>> number_hint("2k", is_whole=True), number_hint("many", is_whole=True)
        (' Give 2000.', '')
    """
    text = str(value).strip().strip("_") if isinstance(value, str | float) else ""
    number = _number(text.lower(), is_whole=is_whole)
    if number is None or not math.isfinite(number) or abs(number) > _MOST:
        return ""
    if is_whole and number != int(number):
        return ""
    shown = f"{number:.0f}" if number == int(number) else f"{number:.15g}"
    return "" if shown == text else f" Give {shown}."


def _number(text: str, *, is_whole: bool) -> float | None:
    if (found := _THOUSANDS.fullmatch(text)) and (is_whole or found[1] != "."):
        return float(text.replace(found[1], ""))
    if _DECIMAL.fullmatch(text):
        return float(text.replace(",", "."))
    times = _SUFFIXES.get(text[-1:], 1.0)
    try:
        return float(text.rstrip("".join(_SUFFIXES))) * times if text else None
    except ValueError:
        return None
