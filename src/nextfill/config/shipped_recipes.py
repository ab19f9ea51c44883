"""Recipes that ship with the package: their names, and the settings of one."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from nextfill.config.options import values_by_path

RECIPE_SUFFIX = ".toml"

SHIPPED = Path(__file__).parents[1] / "recipes"
"""Folder of the recipes that ship with the package."""

QUICKSTART = "quickstart"
"""The recipe whose settings hold where no model is named, or a bundled one."""

MASKED_QUICKSTART = "quickstart-masked"
"""The same for the bundled masked model."""


def recipe_names() -> list[str]:
    """Return the names of the recipes that ship with the package."""
    names = (item.name for item in SHIPPED.iterdir())
    return sorted(
        name.removesuffix(RECIPE_SUFFIX) for name in names if name.endswith(RECIPE_SUFFIX)
    )


def shipped_settings(name: str) -> dict[tuple[str, ...], Any]:
    """Return the settings of a recipe that ships, by their paths; it has no short forms."""
    tree = tomllib.loads((SHIPPED / f"{name}{RECIPE_SUFFIX}").read_text("utf-8"))
    return dict(values_by_path(tree))
