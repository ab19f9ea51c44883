"""What of an evaluation is figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nextfill.evaluation.figures import CONTEXT


def figures(evaluation: Mapping[str, Any]) -> dict[str, Any]:
    """Return an evaluation without what stands beside its figures."""
    return {key: value for key, value in evaluation.items() if key not in CONTEXT}
