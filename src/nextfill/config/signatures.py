"""Signatures that list a verb's settings, for completion and ``help``."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from nextfill.config.options import settings

Data = str | Path | Iterable[str | None] | Iterable[Mapping[str, Any]]
"""A name, as the flag takes it; or texts or dicts in a list or from an iterator, a
`datasets.Dataset`, a data frame or table of pandas, polars or PyArrow."""

LIVE = {"data": Data, "eval_data": Data | None}
"""The settings that also take the thing itself, and what they take."""


def show_settings(verb: Callable[..., Any], root: type) -> None:
    """Put the settings in the place of ``**keywords`` in what a verb says of itself.

    Example:
        >>> from nextfill.config import PrepareConfig
        >>> def verb(*, quiet=None, **keywords): ...
        >>> show_settings(verb, PrepareConfig)
        >>> list(inspect.signature(verb).parameters)[:3]
        ['quiet', 'objective', 'seed']
    """
    signature = inspect.signature(verb)
    own = [p for p in signature.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    taken = {parameter.name for parameter in own}
    listed = [
        inspect.Parameter(
            setting.keyword,
            inspect.Parameter.KEYWORD_ONLY,
            default=setting.default,
            annotation=LIVE.get(setting.keyword, setting.annotation),
        )
        for setting in settings(root)
        if setting.keyword not in taken
    ]
    verb.settings_of = root  # type: ignore[attr-defined]
    verb.__signature__ = signature.replace(parameters=[*own, *listed])  # type: ignore[attr-defined]
