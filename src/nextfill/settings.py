"""What a setting is: a dataclass field with a help text, found again by its path or its flag."""

from __future__ import annotations

from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from typing import Any, get_type_hints


def option(default: Any, help: str, *, flag: str | None = None) -> Any:  # noqa: A002
    """Return a dataclass field that carries its help text and, where it differs, its flag."""
    metadata = {"help": help, "flag": flag}
    if callable(default):
        return field(default_factory=default, metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Setting:
    """One field as the command line and the keyword arguments see it.

    Args:
        path: Where it lies in a recipe, such as ``("training", "learning_rate")``.
        flag: Its flag, such as ``--learning-rate``.
        annotation: Its type.
        default: Its default value.
        help: What it does.
    """

    path: tuple[str, ...]
    flag: str
    annotation: Any
    default: Any
    help: str

    @property
    def keyword(self) -> str:
        """The name it has as a keyword argument."""
        return self.flag.removeprefix("--").replace("-", "_")


def sections(root: type) -> dict[str, type]:
    """Return the section classes of a root config by their names."""
    hints = get_type_hints(root)
    return {f.name: hints[f.name] for f in fields(root) if is_dataclass(hints[f.name])}


def settings(root: type) -> list[Setting]:
    """List every setting of a root config that has a flag.

    Args:
        root: `TrainConfig`, `PrepareConfig`, `EvaluateConfig` or `GenerateConfig`.

    Returns:
        The settings, top level first, then section by section.

    Example:
        >>> from nextfill.config import GenerateConfig
        >>> [s.flag for s in settings(GenerateConfig)][:3]
        ['--seed', '--out', '--device']
    """
    found: list[Setting] = []
    nested = sections(root)
    for prefix, owner in [((), root), *(((name,), kind) for name, kind in nested.items())]:
        hints = get_type_hints(owner, include_extras=True)
        for item in fields(owner):
            if not prefix and item.name in nested:
                continue
            flag = item.metadata.get("flag")
            if flag == "":
                continue
            flag = flag or "--" + item.name.replace("_", "-")
            default = None if item.default is MISSING else item.default
            path = (*prefix, item.name)
            found.append(Setting(path, flag, hints[item.name], default, item.metadata["help"]))
    return found
