"""`nextfill recipes`."""

from __future__ import annotations

from typing import Any

from nextfill.commands.command import JSON, Command
from nextfill.config import NoConfig
from nextfill.flags import Argument, CommandLine

NAME = Argument("name", "show this recipe, whole", "?")
SCHEMA = Argument("--schema", "print the JSON schema of recipes, for an editor to check them by")


def _run_recipes(line: CommandLine) -> Any:
    from nextfill.recipe import build

    build(NoConfig, [line.given], line.problems)
    if line.arguments.schema:
        import json

        from nextfill.schema import recipe_schema

        schema = recipe_schema()
        if line.arguments.json:
            return schema
        print(json.dumps(schema, indent=2))
        return None
    from nextfill.api.recipes import recipes

    found = recipes(line.arguments.name)
    if line.arguments.json:
        return {"recipes": [recipe.to_json() for recipe in found]}
    if line.arguments.name is not None:
        print(found[0].toml, end="")
        return None
    return found


def _show_recipes(result: Any) -> None:
    from nextfill.show import show_recipes

    show_recipes(result)


RECIPES = Command(
    "List the recipes that ship, or show one of them.",
    NoConfig,
    (NAME, SCHEMA, JSON),
    _run_recipes,
    _show_recipes,
)
