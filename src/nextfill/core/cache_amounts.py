"""Sizes and ages as people type them for the cache."""

from __future__ import annotations

import re

from nextfill.core.errors import ConfigError

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)B?", re.IGNORECASE)
_AGE = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw])", re.IGNORECASE)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


def parse_size(text: str, label: str) -> int:
    """Return the bytes of a size such as ``20GB``.

    Example:
        >>> parse_size("1.5 GB", "--max-size")
        1500000000
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ConfigError([f"{label}: found {text!r}; expected a size such as 500MB or 20GB."])
    return int(float(match[1]) * _UNITS[match[2].upper()])


def parse_age(text: str, label: str) -> float:
    """Return the seconds of an age such as ``30d``.

    Example:
        >>> parse_age("12h", "--older-than")
        43200.0
    """
    match = _AGE.fullmatch(text.strip())
    if match is None:
        raise ConfigError([f"{label}: found {text!r}; expected an age such as 12h, 30d or 8w."])
    return float(match[1]) * _SECONDS[match[2].lower()]
