"""A dict of splits in the place of data, such as a `datasets.DatasetDict`: which one is which.

``train`` is trained on and ``test``, or ``validation``, is held out, unless settings say otherwise.
Each becomes live data of its own, so that the rest knows of no splits.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from nextfill.config import DataConfig
from nextfill.config.options import Assignment
from nextfill.core.amounts import amount
from nextfill.core.errors import ConfigError, nearest
from nextfill.data.records.python_data.python_records import is_scalar

logger = logging.getLogger("nextfill")

TRAIN = "train"
HELD_OUT = ("test", "validation", "valid", "val", "dev", "eval")
"""Names of splits that are held out unless settings say otherwise, the first one there."""

SOURCE, EVAL_SOURCE = ("data", "source"), ("data", "eval_source")
_SPLIT, _EVAL_SPLIT, _TEST_SIZE = ("data", "split"), ("data", "eval_split"), ("data", "test_size")
_SETTINGS = {item.name for item in fields(DataConfig)}


def held_out_split(names: Sequence[str]) -> str | None:
    """Return the split that is held out of splits of these names, if one has a name for that.

    Example:
        >>> held_out_split(["train", "validation"]), held_out_split(["train", "extra"])
        ('validation', None)
    """
    return next((name for name in HELD_OUT if name in names), None)


def divided_into_splits(assignments: Sequence[Assignment]) -> list[Assignment]:
    """Return settings in which the splits of a dict are the data, and the data to evaluate on.

    Settings without such a dict come back as they are.

    Example:
        >>> splits = {"train": ["one"], "test": ["two"], "extra": ["three"]}
        >>> given = [Assignment(("data", name), rows, name) for name, rows in splits.items()]
        >>> [(one.path[1], one.value) for one in divided_into_splits(given)]
        [('source', ['one']), ('eval_source', ['two'])]
    """
    splits = {one.path[1]: one.value for one in assignments if _is_split(one)}
    if not splits.keys() & {TRAIN, *HELD_OUT} and not _are_data_sets(splits.values()):
        return list(assignments)
    others = [one for one in assignments if not _is_split(one)]
    settings = {one.path: one.value for one in others}
    if SOURCE in settings:
        raise ConfigError([f"data: found splits ({', '.join(splits)}) beside a source."])
    train, slice_ = _chosen(settings.get(_SPLIT), TRAIN, list(splits), "--split")
    held, eval_slice = None, settings.get(_EVAL_SPLIT)
    if EVAL_SOURCE not in settings:  # else the slice is of that
        divides = train != TRAIN or _TEST_SIZE in settings
        own = None if divides else held_out_split(list(splits))
        if own is not None or eval_slice is not None:
            held, eval_slice = _chosen(eval_slice, own or "", list(splits), "--eval-split")
    changed: dict[tuple[str, ...], str | None] = {_SPLIT: slice_, _EVAL_SPLIT: eval_slice}
    kept = [replace(one, value=changed.get(one.path, one.value)) for one in others]
    _tell(splits, train, held)
    data = [Assignment(SOURCE, splits[train], f"data[{train!r}]")]
    data += [] if held is None else [Assignment(EVAL_SOURCE, splits[held], f"data[{held!r}]")]
    return [*data, *(one for one in kept if one.value is not None or one.path not in changed)]


def _are_data_sets(values: Iterable[Any]) -> bool:
    """Check for data sets by their columns: a dict of lists holds columns, and no splits."""
    values = list(values)
    return bool(values) and all(hasattr(one, "column_names") for one in values)


def _is_split(one: Assignment) -> bool:
    is_place = len(one.path) == 2 and one.path[0] == "data" and one.path[1] not in _SETTINGS
    return is_place and not is_scalar(one.value)


def _chosen(spec: Any, default: str, names: Sequence[str], flag: str) -> tuple[str, str | None]:
    """Return the split that a slice is of, and the slice of it when it is data by itself."""
    if spec is None:
        if default not in names:
            raise ConfigError(
                [
                    f"data: found the splits {', '.join(names)}, and none of them is called "
                    f"{default}. Say which one to train on: {flag} {names[0]}"
                ]
            )
        return default, None
    parts = str(spec).split("+")
    named = [part.split("[")[0].split("(")[0].strip() for part in parts]
    for name in named:
        if name not in names:
            raise ConfigError(
                [
                    f"There is no split {name!r} (in {flag} {str(spec)!r}). "
                    f"The splits here: {', '.join(names)}.{nearest(name, names)}"
                ]
            )
    if len(set(named)) > 1:
        raise ConfigError(
            [
                f"{flag} {str(spec)!r} names several splits of live data. Join them first, with "
                "datasets.concatenate_datasets([...]) or as lists, and pass the whole."
            ]
        )
    rest = [part.strip().removeprefix(named[0]) for part in parts]
    return named[0], "+".join(TRAIN + one for one in rest) if any(rest) else None


def _tell(splits: Mapping[str, Any], train: str, held: str | None) -> None:
    unused = [name for name in splits if name not in (train, held)]
    parts = [f"the data are {_counted(train, splits[train])}"]
    parts += [f"held out is {_counted(held, splits[held])}"] if held else []
    if unused:
        named = ", ".join(_counted(name, splits[name]) for name in unused)
        parts.append(f"not used: {named}")
    logger.warning("data, by split: %s", "; ".join(parts))


def _counted(name: str, value: Any) -> str:
    try:
        return f"{name} ({amount(len(value), 'record')})"
    except TypeError:  # read as it comes
        return name
