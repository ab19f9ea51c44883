"""A user's own observer: checked before anything begins, and completed where it lacks methods."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

from nextfill.core.amounts import amount
from nextfill.core.errors import ConfigError
from nextfill.core.progress import Observer, Silent

METHODS = tuple(name for name in vars(Observer) if name.startswith("on_"))


class _Completed(Silent):
    """An observer with the methods of another, and without an effect where that has none."""

    def __init__(self, other: object) -> None:
        for name in METHODS:
            if hasattr(other, name):
                setattr(self, name, getattr(other, name))


def complete_observer(given: object) -> Observer:
    """Return an observer with all methods, refusing an object that is none.

    Example:
        >>> class Steps:
        ...     def on_step(self, event, timing):
        ...         print(event["step"])
        >>> observer = complete_observer(Steps())
        >>> observer.on_end()
        >>> observer.on_step({"step": 3}, {})
        3
    """
    if isinstance(given, type):
        name = given.__name__
        raise ConfigError([f"observer: found the class {name}; give an object, observer={name}()."])
    problems = _problems(given)
    if problems:
        raise ConfigError(problems)
    complete: Observer = _Completed(given)
    return complete


def _problems(given: object) -> list[str]:
    """Return what is wrong with an observer, each method by itself."""
    kind = type(given).__name__
    present = [name for name in METHODS if hasattr(given, name)]
    own = [name for name in dir(given) if name.startswith("on") and name not in METHODS]
    lacking = [name for name in METHODS if name not in present]
    meant = {one: _meant(one, lacking) for one in own}
    found = [
        f"observer: {kind} has {one}, which is never called. Did you mean '{other}'?"
        for one, other in meant.items()
        if other
    ]
    if not present and not found:
        has = f" It has {', '.join(own)}." if own else ""
        found = [
            f"observer: found {kind}, without any method of an observer.{has} Expected some of "
            f"{', '.join(METHODS)}."
        ]
    return found + [one for name in present for one in _wrong_method(kind, name, given)]


def _meant(name: str, methods: Sequence[str]) -> str:
    """Return the method that a misspelt name means, or nothing for a name of its own."""
    ends = {method.removeprefix("on_"): method for method in methods}
    close = get_close_matches(name.removeprefix("on").lstrip("_").lower(), ends, n=1, cutoff=0.7)
    return ends[close[0]] if close else ""


def _wrong_method(kind: str, name: str, given: object) -> list[str]:
    """Return the problem of a method that cannot be called as it will be."""
    method: Any = getattr(given, name)
    where = f"observer: {kind}.{name}"
    if not callable(method):
        return [f"{where} is {type(method).__name__}, and no method."]
    if inspect.iscoroutinefunction(method):
        return [f"{where} is async, and would never run: write def in place of async def."]
    names = [one for one in inspect.signature(getattr(Silent, name)).parameters if one != "self"]
    try:
        inspect.signature(method).bind(*names)
    except TypeError as error:
        expected = ", ".join(["self", *names])
        return [
            f"{where} cannot take {amount(len(names), 'argument')} ({error}): write "
            f"{name}({expected})."
        ]
    except ValueError:  # of a built-in function, which shows no signature
        return []
    return []
