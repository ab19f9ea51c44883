"""Objects that hold another program's settings, such as `transformers.TrainingArguments`."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from enum import Enum
from typing import Any

from nextfill.config.foreign_settings import ANSWERS
from nextfill.config.other_names import advice, answer

_EMPTY: tuple[object, ...] = (None, False, "", "none", [], {})
"""Values that say nothing: constructors write one for another."""

_OF_ITSELF = ("peft_type", "peft_version")
"""Fields that an object fills in by itself."""


def object_advice(value: object, keywords: Sequence[str]) -> list[str]:
    """Return our way to say each setting of such an object that is not at its default.

    Returns:
        A line for each; none where the value is no such object.

    Example:
        >>> from dataclasses import make_dataclass
        >>> Arguments = make_dataclass("Arguments", [("num_train_epochs", int, 3)])
        >>> object_advice(Arguments(num_train_epochs=2), ["epochs"])
        ['num_train_epochs=2: That is epochs=2 here.']
    """
    if not holds_settings(value):
        return []
    changed = dict(_changed_fields(value))
    lines = []
    for name, given in changed.items():
        if name in keywords:
            words = " That is the same here."
        else:
            words = advice(name, given, keywords, beside=changed)
            words = words or answer(f"lora_{name}", given, keywords)  # `LoraConfig.r`
            words = words or " It has no counterpart here."
        is_secret = "token" in name and isinstance(given, str)
        lines.append(f"{name}{'' if is_secret else f'={given!r}'}:{words}")
    return lines


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
