"""Settings: dataclass fields with a help text, known by path, flag and keyword; their values."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from functools import cache
from typing import Annotated, Any, ClassVar, get_args, get_origin, get_type_hints


@dataclass(frozen=True)
class Section:
    """The base of every class of settings: strict validation, and its short forms in a recipe."""

    __pydantic_config__: ClassVar[Any] = {
        "extra": "forbid",
        "allow_inf_nan": False,
    }
    shorthand: ClassVar[str] = ""
    """The field of a bare value in the place of the section, as in ``model = "gpt2"``."""
    listed_tables: ClassVar[str] = ""
    """The field of a list of tables in the place of the section: [[data]]."""
    named_tables: ClassVar[str] = ""
    """The field of sub-tables with names of their own: [evaluation.general]."""

    def __repr__(self) -> str:
        # One for all: dataclass compiles one for each class, 5% of the time of --help.
        values = (f"{one.name}={getattr(self, one.name)!r}" for one in fields(self))
        return f"{type(self).__name__}({', '.join(values)})"


def option(
    default: Any,
    help: str,  # noqa: A002
    *,
    flag: str | None = None,
    hint: str = "",
) -> Any:
    """Return a dataclass field that carries its help text, its flag and a hint at other values."""
    metadata = {"help": help, "flag": flag, "hint": hint}
    if callable(default):
        return field(default_factory=default, metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Setting:
    """One field as the command line and the keyword arguments see it.

    Args:
        path: Its place in a recipe, such as ``("training", "learning_rate")``.
        hint: Words to type instead of a value that it does not take.
    """

    path: tuple[str, ...]
    flag: str
    annotation: Any
    default: Any
    help: str
    hint: str = ""

    @property
    def kind(self) -> Any:
        """The type of its values, without bounds and without None."""
        kind = self.annotation
        while True:
            parts = [part for part in get_args(kind) if part is not type(None)]
            if get_origin(kind) is Annotated or (len(parts) == 1 and parts != [*get_args(kind)]):
                kind = parts[0]
            else:
                return kind

    @property
    def keyword(self) -> str:
        """Its name as a keyword argument."""
        return self.flag.removeprefix("--").replace("-", "_")


@dataclass(frozen=True)
class Assignment:
    """One value from the user, before validation.

    Args:
        path: Its place in the config, such as ``("training", "epochs")``.
        value: The value, text where it came from a flag.
        label: Its name in messages, such as ``--epochs`` or ``recipe.toml: training.epochs``.
    """

    path: tuple[str, ...]
    value: Any
    label: str


@cache
def sections(root: type) -> Mapping[str, type[Section]]:
    """Return the section classes of a root config by their names."""
    hints = get_type_hints(root)
    return {f.name: hints[f.name] for f in fields(root) if is_dataclass(hints[f.name])}


@cache
def settings(root: type) -> Sequence[Setting]:
    """Return every setting of a root config that has a flag.

    Example:
        >>> from nextfill.config import GenerateConfig
        >>> [s.flag for s in settings(GenerateConfig)][:3]
        ['--seed', '--out', '--cache-dir']
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
            texts = item.metadata["help"], item.metadata["hint"]
            found.append(Setting(path, flag, hints[item.name], default, *texts))
    return tuple(found)


def values_by_path(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield the values of nested tables with their paths; an empty table is a value.

    Example:
        >>> list(values_by_path({"model": {"name": "gpt2", "config": {}}, "seed": 1}))
        [(('model', 'name'), 'gpt2'), (('model', 'config'), {}), (('seed',), 1)]
    """
    if not isinstance(value, Mapping) or not value:
        yield path, value
        return
    for key, one in value.items():
        yield from values_by_path(one, (*path, str(key)))
