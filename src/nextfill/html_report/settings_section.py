"""The report's settings, measured choices and samples."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from nextfill.config import TrainConfig
from nextfill.config.options import settings
from nextfill.html_report.figures_table import counted, figure
from nextfill.rendering.html import Html, element, html_table, join
from nextfill.rendering.result_cards import sample_parts

MOST_SAMPLES = 24
"""Samples shown, evenly spaced, the first and the last among them."""

MOST_CHARACTERS = 4000
"""Characters shown of each text."""


def samples_section(samples: Sequence[Mapping[str, Any]]) -> Html:
    """Return the first and the last sample side by side, and those between below."""
    if not samples:
        return Html("")
    places = _spaced(len(samples))
    ends = [_sample(samples[at]) for at in dict.fromkeys((places[0], places[-1]))]
    parts = [element("div", *ends, class_="samples")]
    if between := places[1:-1]:
        summary = element(
            "summary", counted("samples/between", len(between), "samples"), " between"
        )
        shown = element("div", *(_sample(samples[at]) for at in between), class_="samples")
        parts.append(element("details", summary, shown))
    if len(places) < len(samples):
        counts = figure("samples/shown", len(places)), figure("samples/all", len(samples))
        note = ["Shown are ", counts[0], " of ", counts[1], " samples; events.jsonl has all."]
        parts.append(element("p", *note, class_="nf-note"))
    return join(parts)


def _spaced(count: int) -> list[int]:
    if count <= MOST_SAMPLES:
        return list(range(count))
    return [at * (count - 1) // (MOST_SAMPLES - 1) for at in range(MOST_SAMPLES)]


def _sample(event: Mapping[str, Any]) -> Html:
    prompt, continuation = sample_parts(*(str(event.get(key, "")) for key in ("prompt", "text")))
    shown = [element("mark", prompt[:MOST_CHARACTERS]), continuation[:MOST_CHARACTERS]]
    heading = element("h3", "Step ", figure("samples/step", event["step"]))
    parts = [heading, element("p", *shown, class_="text", dir="auto")]
    hidden = sum(max(0, len(part) - MOST_CHARACTERS) for part in (prompt, continuation))
    if hidden:
        note = [figure("samples/hidden", hidden), " more characters are in events.jsonl."]
        parts.append(element("p", *note, class_="nf-note"))
    return element("article", *parts)


def settings_section(config: Mapping[str, Any], root: type = TrainConfig) -> Html:
    """Return a table per section of the config, each setting with what it does."""
    general = {key: value for key, value in config.items() if not isinstance(value, Mapping)}
    nested = {key: value for key, value in config.items() if isinstance(value, Mapping)}
    meaning = {".".join(setting.path): setting.help for setting in settings(root)}
    tables = []
    for title, section in {"general": general, **nested}.items():
        prefix = "" if section is general else f"{title}."
        rows = [
            [_named(path, meaning.get(prefix + path)), figure(f"config/{prefix}{path}", value)]
            for path, value in leaves(section, ".")
        ]
        if rows:
            tables.append(_table(title, rows))
    return element("div", *tables, class_="tables")


def measured_section(measured: Mapping[str, Any]) -> Html:
    """Return what was found at load, and the versions."""
    plain = {key: value for key, value in measured.items() if not isinstance(value, Mapping)}
    nested = {key: value for key, value in measured.items() if isinstance(value, Mapping)}
    tables = []
    for title, part in {"found at load": plain, **nested}.items():
        prefix = "" if part is plain else f"{title}."
        rows = [
            [path.replace("_", " "), figure(f"measured/{prefix}{path}", value)]
            for path, value in leaves(part, ".")
        ]
        if rows:
            tables.append(_table(title, rows))
    return element("div", *tables, class_="tables")


def leaves(tree: Mapping[str, Any], joint: str = "/") -> Iterator[tuple[str, Any]]:
    """Yield the values of nested mappings, each with its path.

    Example:
        >>> list(leaves({"a": 1, "b": {"c": None, "d": {}}}))
        [('a', 1), ('b/c', None)]
    """
    for key, value in tree.items():
        if isinstance(value, Mapping):
            for path, leaf in leaves(value, joint):
                yield f"{key}{joint}{path}", leaf
        else:  # TOML has dates, JSON has not
            yield str(key), json.loads(json.dumps(value, default=str))


def _named(path: str, meaning: str | None) -> Html:
    return join([element("code", path), element("small", meaning) if meaning else ""])


def _table(title: str, rows: Sequence[Sequence[object]]) -> Html:
    heading = element("h3", title.replace("_", " "))
    return element("div", heading, html_table([], rows, caption=title))
