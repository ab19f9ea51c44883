"""The runs that a run's model comes from, and the held-out documents that they were trained on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from nextfill.core.amounts import part_of, verb


def former_run_lines(measured: Mapping[str, Any]) -> list[str]:
    """Return a sentence on each former run that may know held-out documents, from a run's findings.

    Example:
        >>> first = {"known": 2, "checked": 6}
        >>> former_run_lines({"known_documents": {"/home/me/first": first}})[0][:52]
        '2 of 6 held-out documents are text that the run firs'
        >>> former_run_lines({"known_documents": {"first": {"known": 0, "checked": 6}}})
        []
    """
    found = measured.get("known_documents")
    lines: list[str] = []
    for run, counts in found.items() if isinstance(found, Mapping) else ():
        known, checked = (
            counts.get(key) if isinstance(counts, Mapping) else None for key in ("known", "checked")
        )
        name = PurePath(run).name
        if not isinstance(known, int) or not isinstance(checked, int):
            lines.append(
                f"Whether the run {name}, which this one goes on from, was trained on held-out "
                "documents could not be told: the figures may flatter the model."
            )
        elif known:
            lines.append(
                f"{part_of(known, checked, 'held-out document')} {verb(known, 'is', 'are')} text "
                f"that the run {name}, which this one goes on from, was trained on: the figures "
                "flatter the model."
            )
    return lines
