"""The arguments of a verb that are no settings: how many there are, what each is, and results."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from functools import wraps
from os import PathLike
from typing import Any, ParamSpec, TypeVar

from nextfill.config.foreign.foreign_objects import holds_settings, object_advice
from nextfill.config.options import settings
from nextfill.core.amounts import with_article
from nextfill.core.errors import ConfigError

P = ParamSpec("P")
T = TypeVar("T")

_NEEDED = {
    "model": "a run directory, folder, Hub id or builtin:NAME, or a live model",
    "run": "a run directory, or a model's folder",
    "data": "a file, folder, glob, zip archive, address, Hub id or builtin:NAME",
    "repo": "a repository on the Hub, 'USER/NAME'",
}
"""Arguments without a default, and what they take."""

_SWITCHES = ("quiet", "resume", "rewarm")
_TEXTS = ("prompt", "text")
_KINDS = {"run": (str, PathLike), "repo": (str,)}

_RESULTS = {
    "TrainResult": ("nextfill.runs.results", "run"),
    "TokenizerResult": ("nextfill.tokenizers.train", "tokenizer"),
}
"""Results that stand for a folder: the module of each, and where it has the folder's path."""

_PLACES = frozenset({"model", "others", "run", "tokenizer", "tokenizers", "teacher", "out"})
"""Arguments and settings that such a result may be given as."""


def with_folders(
    verb: Callable[..., Any], arguments: Sequence[Any], keywords: Mapping[str, Any]
) -> tuple[list[Any], dict[str, Any]]:
    """Return what a verb is given, with the folder of each result where one is asked for."""
    names = _names(verb, len(arguments))
    given = [
        folder_of(value) if name in _PLACES else value
        for name, value in zip(names, arguments, strict=False)
    ]
    named = {
        name: folder_of(value) if name in _PLACES else value for name, value in keywords.items()
    }
    return [*given, *arguments[len(given) :]], named


def folder_of(value: Any) -> Any:
    """Return the path of the run or the tokenizer that a result is of, anything else as it is."""
    module, attribute = _RESULTS.get(type(value).__name__, ("", ""))
    known = sys.modules.get(module)  # loaded where there is such a result
    if known is not None and isinstance(value, getattr(known, type(value).__name__)):
        return getattr(value, attribute)
    return value


def _names(verb: Callable[..., Any], number: int) -> list[str]:
    """Return the name of each of so many arguments without one, as far as a verb takes them."""
    names: list[str] = []
    for one in inspect.signature(verb).parameters.values():
        if one.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD:
            names.append(one.name)
        elif one.kind is inspect.Parameter.VAR_POSITIONAL:
            names += [one.name] * (number - len(names))
    return names[:number]


def check_arguments(
    verb: Callable[..., Any],
    root: type | None,
    arguments: Sequence[object],
    keywords: Mapping[str, object],
) -> None:
    """Refuse arguments that a verb has no place for, or of another type than it takes."""
    kinds = inspect.signature(verb).parameters.values()
    _refuse_missing(verb, kinds, arguments, keywords)
    if not any(one.kind is inspect.Parameter.VAR_POSITIONAL for one in kinds):
        _refuse_more(verb, root, kinds, arguments, keywords)
    own = {one.name for one in kinds}
    given = {name: one for name, one in keywords.items() if name in own}
    given |= dict(zip(_names(verb, len(arguments)), arguments, strict=False))
    if problems := [one for name, value in given.items() if (one := _problem(name, value))]:
        raise ConfigError(problems)


def _problem(name: str, value: object) -> str:
    """Return why a value cannot be an argument of a name, "" where it can."""
    if name in _SWITCHES:
        known = value is None or (isinstance(value, int) and value in (0, 1))
        return "" if known else f"{name}: found {value!r:.60}. Give True or False."
    if name in _TEXTS and not _is_texts(value):
        return f"{name}: found {with_article(value)}; expected a text, or a list of texts."
    if name in _KINDS and not isinstance(value, _KINDS[name]):
        return f"{name}: found {with_article(value)}; expected {_NEEDED[name]}."
    if name == "model" and isinstance(value, Mapping) and not value:
        return f"{name}: found an empty dict; expected {_NEEDED[name]}."
    return ""


def _is_texts(value: object) -> bool:
    """Tell a text, several in an order, or None; the texts themselves are looked at one by one."""
    if isinstance(value, bytes | bytearray | Mapping | Set):
        return False
    return isinstance(value, str | Iterable | None)


def _refuse_more(
    verb: Callable[..., Any],
    root: type | None,
    kinds: Iterable[inspect.Parameter],
    arguments: Sequence[object],
    keywords: Mapping[str, object],
) -> None:
    """Refuse values without a name where a verb takes fewer, or where one stands for a recipe."""
    places = [one.name for one in kinds if one.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
    call = f"nextfill.{verb.__name__}"
    if len(arguments) > len(places):
        without = f"only {' and '.join(places)}" if places else "no value"
        has_data = any(one.keyword == "data" for one in (settings(root) if root else ()))
        advice = "type data=records" if has_data else "name the others"
        raise ConfigError([f"{call} takes {without} without a name: {advice}."])
    first = next(iter(arguments), None)
    if root and places[:1] == ["recipe"] and not isinstance(first, str | PathLike | None):
        found = f"{call}: found {with_article(first)} in place of a recipe."
        if holds_settings(first):
            known = [setting.keyword for setting in settings(root)]
            lines = object_advice(first, known, keywords)
            raise ConfigError(["\n    ".join([f"{found} Each setting is one of its own.", *lines])])
        if (folder := folder_of(first)) is not first:
            raise ConfigError([f"{found} To train its model further, give model={folder!r}."])
        raise ConfigError([f"{found} To train on it, type data=records."])


def _refuse_missing(
    verb: Callable[..., Any],
    kinds: Iterable[inspect.Parameter],
    arguments: Sequence[object],
    keywords: Mapping[str, object],
) -> None:
    """Refuse a call without an argument that has no default, where Python names it alone."""
    needed = [one.name for one in kinds if one.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
    required = {one.name for one in kinds if one.default is inspect.Parameter.empty}
    given = {**keywords, **dict(zip(needed, arguments, strict=False))}
    missing = [one for one in needed if one in required and given.get(one) is None]
    if missing:
        call = f"nextfill.{verb.__name__}"
        wanted = " and ".join(f"{name} ({_NEEDED[name]})" for name in missing)
        places = [one for one in needed if one in missing or given.get(one) is not None]
        typed = ", ".join(
            one.upper() if one in missing else _as_typed(given[one]) for one in places
        )
        typed += ", ..."
        raise ConfigError([f"{call} wants {wanted}. Type: {call}({typed})"])


def _as_typed(value: object) -> str:
    return repr(value) if isinstance(value, str) else type(value).__name__.upper()


def plain_arguments(verb: Callable[P, T]) -> Callable[P, T]:
    """Check the arguments of a verb without settings, and take a result for its run."""

    @wraps(verb)
    def call(*arguments: P.args, **keywords: P.kwargs) -> T:
        given, named = with_folders(verb, arguments, keywords)
        known = [*inspect.signature(verb).parameters]
        if unknown := [one for one in named if one not in known]:
            takes = f"It takes {', '.join(known)}."
            raise ConfigError(
                [f"nextfill.{verb.__name__} has no {one}. {takes}" for one in unknown]
            )
        check_arguments(verb, None, given, named)
        return verb(*given, **named)

    return call
