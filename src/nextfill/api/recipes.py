"""The recipes that ship, and the schema of all recipes."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from importlib import resources
from typing import Any

from nextfill.config.json_schema import recipe_schema
from nextfill.config.recipe_file import RECIPE_SUFFIX, recipe_names
from nextfill.core.errors import ConfigError, nearest

__all__ = ["Recipe", "recipe_schema", "recipes"]


@dataclass(frozen=True)
class Recipe:
    """A recipe that ships.

    Args:
        name: What `nextfill train` takes.
        summary: What it is for, in a sentence.
        toml: The whole of it.
    """

    name: str
    summary: str
    toml: str

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return asdict(self)


def recipes(name: str | None = None) -> list[Recipe]:
    """Return the recipes that ship.

    Args:
        name: Only the one of this name.

    Returns:
        The recipes in the order of their names.

    Raises:
        ConfigError: If there is none of that name.

    Example:
        >>> import nextfill
        >>> [recipe.name for recipe in nextfill.recipes()][-2:]
        ['quickstart-masked', 'wikitext2-scratch']
    """
    known = recipe_names()
    wanted = known if name is None else [name.removesuffix(RECIPE_SUFFIX)]
    if not set(wanted) <= set(known):
        raise ConfigError([f"There is no recipe {name}.{nearest(wanted[0], known)} {_all(known)}"])
    folder = resources.files("nextfill") / "recipes"
    texts = {one: (folder / f"{one}{RECIPE_SUFFIX}").read_text("utf-8") for one in wanted}
    return [Recipe(one, _summary(text), text) for one, text in texts.items()]


def _all(known: list[str]) -> str:
    return f"There are: {', '.join(known)}. A file of your own is a recipe, too: train takes both."


def _summary(toml: str) -> str:
    """Return the first sentence of the comment that a recipe begins with."""
    lines = []
    for line in toml.splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.removeprefix("#").strip())
    first, dot, _ = " ".join(lines).partition(". ")
    return first.rstrip(".") + ("." if first or dot else "")
