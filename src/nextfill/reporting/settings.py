"""The report's settings, and what was found at load."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from nextfill.config import TrainConfig
from nextfill.markup import Html, element, html_table, join
from nextfill.reporting.figures import figure
from nextfill.settings import settings


def settings_section(config: Mapping[str, Any], root: type = TrainConfig) -> Html:
    """Return a table per section of the config, each setting with what it does.

    Args:
        config: The settings, by section.
        root: The class of them all, which knows what each does.
    """
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
