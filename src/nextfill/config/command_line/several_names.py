"""Several sources in the place of one name: what they are, and the recipe to write."""

from __future__ import annotations

import re
from collections.abc import Sequence

from nextfill.core.paths import is_there
from nextfill.core.shell_command import shell_command

_BETWEEN = re.compile(r"\s*[,;]\s*|\s+")
_MOST_SHOWN = 3
RECIPE = "several.toml"


def several_names(text: str) -> list[str]:
    """Return the names of files or folders that a text joins by commas or spaces; none of one name.

    Example:
        >>> several_names("no such file.txt"), several_names(".")
        ([], [])
    """
    if is_there(text):
        return []
    names = [name for name in _BETWEEN.split(text.strip()) if name]
    return names if len(names) > 1 and all(map(is_there, names)) else []


def as_recipe(names: Sequence[str]) -> str:
    r"""Return sentences with a recipe of several sources, and the command that runs it.

    Example:
        >>> print(as_recipe(["a", "b.txt"]).partition("\nThen")[0])
        For several sources write these lines into a file several.toml:
        [[data]]
        source = 'a'
        [[data]]
        source = 'b.txt'
    """
    tables = "\n".join(f"[[data]]\nsource = {_in_toml(name)}" for name in names[:_MOST_SHOWN])
    more = "\nand so on.\n" if len(names) > _MOST_SHOWN else "\n"
    command = shell_command("train", RECIPE)
    return (
        f"For several sources write these lines into a file {RECIPE}:\n{tables}{more}"
        f"Then type: {command}"
    )


def _in_toml(name: str) -> str:
    if "'" in name:
        escaped = name.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    return f"'{name}'"


def joined_names(flag: str, text: str) -> str:
    """Return the message about a name that joins several, or ""."""
    names = several_names(text)
    if not names:
        return ""
    return (
        f"{flag} {text!r} joins {len(names)} names, and takes one: a folder, or a pattern in "
        f"quotes such as 'notes/*.txt'. {as_recipe(names)}"
    )
