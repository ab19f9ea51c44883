"""Results as plain JSON values, and text that is safe to show at a terminal."""

from __future__ import annotations

import json
import math
import re
import unicodedata
from typing import Any

TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Characters that turn the direction of what follows them; right-to-left letters need none."""


_HALF = re.compile("[\ud800-\udfff]")


def to_json(value: Any, *, ascii_only: bool = False) -> str:
    """Return strict JSON on one line; NaN and infinity, which JSON does not have, become null.

    Example:
        >>> to_json({"perplexity": float("inf"), "text": "é"})
        '{"perplexity": null, "text": "é"}'
    """
    text = json.dumps(_finite(value), ensure_ascii=ascii_only, allow_nan=False)
    return as_whole(text)


def as_whole(text: str) -> str:
    r"""Return text that a file in UTF-8 can hold: half characters are escaped, as JSON has it.

    Example:
        >>> as_whole("caf\udce9.txt")
        'caf\\udce9.txt'
    """
    return _HALF.sub(lambda half: f"\\u{ord(half[0]):04x}", text)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def printable(text: str) -> str:
    r"""Return text without the control characters that would steer a terminal.

    Text from models and data is shown as it is, but for these: an escape sequence in it could move
    the cursor or change what stands on the screen, and so could a change of direction.

    Example:
        >>> printable("a\x1b[2Jb\tc")
        'a[2Jb\tc'
    """
    return "".join(
        c for c in text if c in "\n\t" or (unicodedata.category(c) != "Cc" and c not in TURNING)
    )
