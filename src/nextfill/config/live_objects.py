"""Models and tokenizers that a Python program already holds, handed over instead of a name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from typing import Any

from nextfill.core.errors import ConfigError

LIVE = "live:"
"""Begins the recorded name of what was handed over."""


@dataclass(frozen=True)
class Live:
    """What a program hands over; None for what is to be loaded by its name.

    Args:
        model: A transformers causal model, or a PEFT one around it; it is trained in place.
        tokenizer: A transformers tokenizer with a Rust back end.
    """

    model: Any = None
    tokenizer: Any = None


NOTHING_LIVE = Live()


def part_live(keywords: Mapping[str, Any]) -> tuple[dict[str, Any], Live]:
    """Part the live objects among keyword arguments from the settings.

    Example:
        >>> part_live({"model": "gpt2", "epochs": 1})
        ({'model': 'gpt2', 'epochs': 1}, Live(model=None, tokenizer=None))
    """
    found = {
        name: keywords[name]
        for name in ("model", "tokenizer")
        if not isinstance(keywords.get(name), str | PathLike | Mapping | None)
    }
    if "model" in found and keywords.get("tokenizer") is None:
        raise ConfigError(["A live model needs its tokenizer, too: give tokenizer=tokenizer."])
    names = {name: f"{LIVE}{type(value).__name__}" for name, value in found.items()}
    return {**keywords, **names}, Live(**found)
