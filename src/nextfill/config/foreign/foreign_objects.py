"""Objects that hold another program's settings, such as `transformers.TrainingArguments`."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from types import MappingProxyType
from typing import Any

from nextfill.config.foreign.foreign_settings import ANSWERS
from nextfill.config.foreign.other_names import advice, answer

_EMPTY: tuple[object, ...] = (None, False, "", "none", [], {})
"""Values that say nothing: constructors write one for another."""

_BATCH = "per_device_train_batch_size"

_MOST_SHOWN = 60
"""Characters of a value that a call to type repeats."""

_OF_ITSELF = ("peft_type", "peft_version")
"""Fields that an object fills in by itself."""


_OURS = re.compile(r" (?:With \S+ that|That) is ((?:\w+=(?:'[^']*'|[^\s',]+),? ?)+)")
"""An answer that is settings of ours with their values, and what stands behind them."""
_ONE_OF_OURS = re.compile(r"(\w+)=('[^']*'|[^\s',]+)")

_FOLLOWS = {
    "do_eval": "eval_strategy",
    "metric_for_best_model": "load_best_model_at_end",
    "greater_is_better": "load_best_model_at_end",
}
"""Fields that constructors fill in by another."""


def object_advice(
    value: object,
    keywords: Sequence[str],
    beside: Mapping[str, object] = MappingProxyType({}),
) -> list[str]:
    """Return our way to say the settings of such an object that are not at their defaults.

    Args:
        value: The object.
        keywords: Our settings where it was typed.
        beside: The keywords typed with it.

    Returns:
        The call with all that have a counterpart, and a line for each other; none where the value
        is no such object.

    Example:
        >>> from dataclasses import make_dataclass
        >>> Arguments = make_dataclass("Arguments", [("num_train_epochs", int, 3)])
        >>> object_advice(Arguments(num_train_epochs=2), ["epochs"])
        ['Type: epochs=2']
    """
    if not holds_settings(value):
        return []
    changed = dict(_changed_fields(value))
    # Which with a number of steps has one answer, be it at its default.
    together = {_BATCH: getattr(value, _BATCH, None), **changed}
    ours = {name: _typed(name, one) for name, one in beside.items() if name in keywords}
    lines = []
    for name, given in changed.items():
        if changed.get(_FOLLOWS.get(name, "")):
            continue
        if name in keywords and _is_scalar(given):
            ours.setdefault(name, repr(given))
            continue
        if name in keywords:
            words = " That is the same here."
        else:
            words = advice(name, given, keywords, beside=together)
            words = words or answer(f"lora_{name}", given, keywords)  # `LoraConfig.r`
            words = words or " It has no counterpart here."
        if match := _OURS.match(words):
            for ours_name, written in _ONE_OF_OURS.findall(match[1]):
                if ours.get(ours_name, _PLACEHOLDER) == _PLACEHOLDER:
                    ours[ours_name] = written
            continue
        is_secret = "token" in name and isinstance(given, str)
        lines.append(f"{name}{'' if is_secret else f'={given!r}'}:{words}")
    typed = ", ".join(f"{name}={written}" for name, written in ours.items())
    call = f"nextfill.train({typed})" if "learning_rate" in keywords else typed
    return [f"Type: {call}", *lines] if typed else lines


_PLACEHOLDER = "'USER/NAME'"


def _typed(name: str, value: object) -> str:
    """Return a value as it was typed, or most likely: what is no text or number, by a name."""
    return repr(value) if _is_scalar(value) and len(repr(value)) < _MOST_SHOWN else name


def _is_scalar(value: object) -> bool:
    """Tell a text, a number or a truth value."""
    return isinstance(value, str | int | float)


def holds_settings(value: object) -> bool:
    """Tell an object whose fields are settings of another program."""
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        return False
    return any(one.name in ANSWERS for one in dataclasses.fields(value))


def _changed_fields(value: Any) -> Iterator[tuple[str, Any]]:
    for one in dataclasses.fields(value):
        given, default = getattr(value, one.name, None), one.default
        if one.default_factory is not dataclasses.MISSING:
            default = one.default_factory()
        if isinstance(given, Enum):
            given = given.value
        is_plain = isinstance(given, str | int | float | list | tuple | set | dict)
        if one.name in _OF_ITSELF or not is_plain:
            continue
        if given != default and not (given in _EMPTY and default in _EMPTY):
            yield one.name, given
