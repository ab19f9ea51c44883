"""The points of a run's events, and the settings that go with them: numbers, and no text."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

from nextfill.core.errors import RunError
from nextfill.core.progress import HELD_OUT
from nextfill.core.url_redaction import without_secrets
from nextfill.runs.directory import RunDirectory

KINDS = ("step", "evaluation", "validation", "sample")
"""The events that have points, or texts."""

_PLACES = ("step", "event", "set")
_PROSE = frozenset({"sample_prompt", "words", "chosen", "out", "cache_dir", "store"})
"""Settings that hold the user's own text, or folders of this machine alone."""
_UNSENT_SECTIONS = ("share", "tracking")


@dataclass(frozen=True)
class Point:
    """One number of an event.

    Args:
        name: Its series, such as ``train/loss`` or ``held-out/perplexity``.
        step: Steps taken before.
        value: As the event has it; finite.
    """

    name: str
    step: int
    value: float


@dataclass(frozen=True)
class Text:
    """A sample: a text that the model wrote at a step."""

    name: str
    step: int
    text: str


def points_of(event: Mapping[str, Any]) -> list[Point]:
    """Return the points of an event: its finite numbers, those of an interval by their ends.

    Example:
        >>> points_of({"event": "step", "step": 3, "loss": 2.5})
        [Point(name='train/loss', step=3, value=2.5)]
    """
    kind = event.get("event")
    if kind not in KINDS or kind == "sample":
        return []
    if not isinstance(event.get("step"), int):
        raise RunError(f"events.jsonl is damaged: a {kind} event has no step.")
    series = {"step": "train", "validation": "validation"}.get(
        str(kind), str(event.get("set") or HELD_OUT)
    )
    return [
        Point(f"{series}/{name}", event["step"], float(value))
        for name, value in _numbers(event, "")
        if name not in _PLACES
    ]


def _numbers(tree: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, float]]:
    for key, value in tree.items():
        name = f"{prefix}{key}"
        if key == "interval" and isinstance(value, list) and len(value) == 2:
            ends = {"low": value[0], "high": value[1]}
            yield from _numbers(ends, f"{name}/")
        elif isinstance(value, Mapping):
            yield from _numbers(value, f"{name}/")
        elif _is_number(value) and math.isfinite(value):
            yield name, value


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def text_of(event: Mapping[str, Any]) -> Text | None:
    """Return the text of a sample, None of another event."""
    if event.get("event") != "sample":
        return None
    return Text("sample", int(event["step"]), str(event.get("text", "")))


def settings_of_run(run: RunDirectory) -> dict[str, str | int | float | bool]:
    """Return the settings of a run by their places, without secrets and the user's own text."""
    tree = tomllib.loads(without_secrets(run.config.read_text("utf-8")))
    return dict(_settings(tree, ""))


def _settings(
    tree: Mapping[str, Any], prefix: str
) -> Iterator[tuple[str, str | int | float | bool]]:
    for key, value in tree.items():
        if key in _PROSE or (not prefix and key in _UNSENT_SECTIONS):
            continue
        if isinstance(value, Mapping):
            yield from _settings(value, f"{prefix}{key}.")
        elif isinstance(value, str | int | float | bool):
            yield f"{prefix}{key}", value
        else:
            yield f"{prefix}{key}", str(value)
