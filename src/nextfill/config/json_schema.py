"""A JSON schema of recipes, with which an editor completes names and marks mistakes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nextfill.config import EvaluationSet, TrainConfig
from nextfill.config.options import sections, settings

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def recipe_schema() -> dict[str, Any]:
    """Return the JSON schema of the recipes that `nextfill train` takes.

    Returns:
        What the config classes allow, as a recipe writes it: no nulls, which TOML does not have;
        ``model = "gpt2"`` for a section with a shorthand; tables with names of their own.

    Source:
        https://json-schema.org/draft/2020-12

    Example:
        >>> recipe_schema()["properties"]["training"]["properties"]["epochs"]["description"]
        'passes over the training part'
    """
    from pydantic import TypeAdapter

    whole = TypeAdapter(TrainConfig).json_schema()
    definitions = {name: _plain(one) for name, one in whole.pop("$defs").items()}
    properties = _plain(whole)["properties"]
    for name, section in sections(TrainConfig).items():
        properties[name] = _section(definitions[section.__name__], section, definitions)
    for setting in settings(TrainConfig):
        place = properties
        for key in setting.path[:-1]:
            place = _table(place[key])["properties"]
        place[setting.path[-1]]["description"] = setting.help
    return {
        "$schema": DIALECT,
        "title": "A recipe of Nextfill",
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
    }


def _plain(schema: Any) -> Any:
    """Return a schema without nulls and without titles, which say the names again."""
    if isinstance(schema, list):
        return [_plain(item) for item in schema]
    if not isinstance(schema, Mapping):
        return schema
    kept = {
        key: value
        for key, value in schema.items()
        if not (key == "title" and isinstance(value, str))
        and not (key == "default" and value is None)
    }
    kinds = [kind for kind in kept.get("anyOf", ()) if kind != {"type": "null"}]
    if len(kinds) == 1 and "anyOf" in kept:
        kept |= kinds[0]
        del kept["anyOf"]
    return {key: _plain(value) for key, value in kept.items()}


def _section(
    table: Mapping[str, Any], section: type, definitions: Mapping[str, Any]
) -> dict[str, Any]:
    """Return a section as a recipe may write it."""
    found = {**table, "properties": dict(table["properties"])}
    if home := getattr(section, "named_tables", None):
        del found["properties"][home]
        one = definitions[EvaluationSet.__name__]
        found["additionalProperties"] = {"anyOf": [{"type": "string"}, one]}
    if listed := getattr(section, "listed_tables", None):
        del found["properties"][listed]
        several = {"type": "array", "items": {**found, "required": [section.shorthand]}}  # type: ignore[attr-defined]
        return {"anyOf": [{"type": "string"}, found, several]}
    if getattr(section, "shorthand", None):
        return {"anyOf": [{"type": "string"}, found]}
    return found


def _table(schema: Mapping[str, Any]) -> Any:
    """Return the form of a section that is a table."""
    return next(one for one in schema.get("anyOf", [schema]) if one.get("type") == "object")
