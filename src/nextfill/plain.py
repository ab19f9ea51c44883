"""Results as plain JSON values."""

from __future__ import annotations

import json
import math
from typing import Any


def to_json(value: Any) -> str:
    """Return strict JSON on one line; NaN and infinity, which JSON does not have, become null.

    Example:
        >>> to_json({"perplexity": float("inf"), "text": "é"})
        '{"perplexity": null, "text": "é"}'
    """
    return json.dumps(_finite(value), ensure_ascii=False, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
