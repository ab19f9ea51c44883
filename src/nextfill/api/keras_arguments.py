"""The check of what is given to the calls of the Keras half, before any epoch is trained."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from os import PathLike
from typing import Any, SupportsIndex

from nextfill.config import EvaluateConfig
from nextfill.config.command_line.python_messages import keyword_errors
from nextfill.config.layers import keyword_assignments
from nextfill.core.errors import ConfigError
from nextfill.core.paths import is_address, is_glob, nearest_path, user_path
from nextfill.data.records.local_files import is_path
from nextfill.hub.account import check_name
from nextfill.keras_engine.transformers_models import shown, tokenizer_problems

_OF_THE_CALLBACK = ("model", "tokenizer", "request")
"""Keywords of `nextfill.evaluate` that the callback gives by itself."""


def whole_number(name: str, value: object, least: int, example: str) -> int:
    """Return an argument that is a whole number, not below the least that it may be.

    Example:
        >>> whole_number("batch_size", 8, 1, "8")
        8
    """
    try:
        number = None
        if isinstance(value, SupportsIndex) and not isinstance(value, bool):
            number = operator.index(value)
    except TypeError:
        number = None
    if number is None:
        problem = f"{name}: found {value!r:.60}; expected a whole number, such as {name}={example}."
        raise ConfigError([problem])
    if number < least:
        raise ConfigError([f"{name}: found {number}; expected at least {least}."])
    return number


def evaluation_settings(value: object) -> dict[str, Any] | None:
    """Return the settings of the evaluation after each epoch; a path alone is its data.

    Example:
        >>> evaluation_settings("builtin:torch-docs")
        {'data': 'builtin:torch-docs'}
    """
    if value is None:
        return None
    if isinstance(value, str | PathLike):
        _check_there({"data": value})
        return {"data": value}
    if not isinstance(value, Mapping) or not all(isinstance(one, str) for one in value):
        raise ConfigError(
            [
                f"evaluation: found {shown(value)}; expected a path, or settings of "
                "nextfill.evaluate as {'data': 'held-out.txt', 'text_field': 'text'}. "
                "Type: evaluation='held-out.txt'"
            ]
        )
    given = [name for name in _OF_THE_CALLBACK if name in value]
    problems = [f"evaluation: leave {name} out, the callback gives its own." for name in given]
    settings = {name: one for name, one in value.items() if name not in ("observer", "quiet")}
    with keyword_errors(EvaluateConfig):
        _, unknown = keyword_assignments(EvaluateConfig, settings)
        problems += [f"evaluation: {one}" for one in unknown]
        if problems:
            raise ConfigError(problems)
    _check_there(value)
    return dict(value)


def _check_there(settings: Mapping[str, Any]) -> None:
    """Refuse a path of nothing, which would be told at the end of the first epoch."""
    problems = []
    for name in ("data", "eval_data"):
        value = settings.get(name)
        if not isinstance(value, str | PathLike):
            continue
        path = user_path(str(value), name)
        named = isinstance(value, PathLike) or is_path(str(value), path)
        if named and not (path.exists() or is_glob(str(value)) or is_address(str(value))):
            problems.append(
                f"evaluation: {name}={str(value)!r}: there is no such file or folder."
                f"{nearest_path(path)}"
            )
    if problems:
        raise ConfigError(problems)


def check_callback(out: object, tokenizer: object, dataset: object, share: object) -> None:
    """Refuse arguments of the callback that would fail at the end of its first epoch."""
    problems = list(tokenizer_problems(tokenizer))
    if not isinstance(out, str | PathLike):
        problems.append(f"out: found {shown(out)}; expected a folder. Type: out='guide'")
    if dataset is not None and not callable(getattr(dataset, "go_to_epoch", None)):
        problems.append(
            f"dataset: found {shown(dataset)}; expected the batches that fit takes. "
            "Type: dataset=nextfill.keras.dataset(blocks)"
        )
    if share is not None and not isinstance(share, str):
        problems.append(f"share: found {shown(share)}; expected a name. Type: share='USER/NAME'")
    elif share is not None:
        check_name(share)
    if problems:
        raise ConfigError(problems)
