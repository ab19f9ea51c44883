"""Settings that are a share below 1 or a number from 1 on, of which 1.0 may be either."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Set
from itertools import chain
from numbers import Integral
from typing import Any

SHARES_OR_NUMBERS: Mapping[tuple[str, str], tuple[str, str]] = {
    ("data", "test_size"): (
        "record",
        " To hold out all of some data, and train on other, name it with --eval-data.",
    ),
    ("data", "validation_size"): ("record", ""),
    ("training", "warmup_steps"): ("step", ""),
}
"""Their places, with the noun of their numbers and a further remedy."""

RECORDED = "config.toml: "
"""Begins the labels of a run's own settings, where every number of these has a decimal point."""

TABLES = "sources"


def ambiguous_shares(
    tree: Mapping[str, Any],
    labels: Mapping[tuple[str, ...], str],
    copies: Set[tuple[str | int, ...]],
) -> Iterator[str]:
    """Yield a problem for each 1.0, which is a share or a number, and each 2.5, which is neither.

    Args:
        tree: The settings, as they were typed.
        labels: Their names in messages, by their places.
        copies: Places of settings that are those of all sources.

    Example:
        >>> tree = {"data": {"validation_size": "1.0"}}
        >>> list(ambiguous_shares(tree, {("data", "validation_size"): "--validation-size"}, set()))
        ['--validation-size: found 1.0, which is 1 record, or all of them. Type 1 for 1 record, or \
a share below 1, such as 0.1.']
    """
    for (section, key), (noun, remedy) in SHARES_OR_NUMBERS.items():
        own = tree.get(section)
        if not isinstance(own, Mapping):
            continue
        listed = own.get(TABLES)
        tables = listed if isinstance(listed, list) else ()
        label = labels.get((section, key), f"{section}.{key}")
        of_tables = labels.get((section, TABLES), section)
        for name, table in chain(
            [(label, own)],
            (
                (f"{of_tables}, table {number}: {key}", one)
                for number, one in enumerate(tables, start=1)
                if (section, TABLES, number - 1, key) not in copies
            ),
        ):
            value = table.get(key) if isinstance(table, Mapping) else None
            if name.startswith(RECORDED):
                continue
            if _is_ambiguous(value):
                yield (
                    f"{name}: found {value}, which is 1 {noun}, or all of them. Type 1 for 1 "
                    f"{noun}, or a share below 1, such as 0.1.{remedy}"
                )
            elif _is_neither(value):
                yield (
                    f"{name}: found {value}, which is neither a share, below 1, nor a number of "
                    f"{noun}s. Type a share, such as 0.1, or a whole number, such as "
                    f"{math.ceil(float(str(value)))}."
                )


def _is_ambiguous(value: Any) -> bool:
    """Check for a 1 with a decimal point, be it text."""
    if value is None or isinstance(value, Integral):
        return False
    text = str(value).strip()
    try:
        return float(text) == 1 and not text.lstrip("+").isdigit()
    except ValueError:
        return False


def _is_neither(value: Any) -> bool:
    """Check for a number above 1 that is not whole, be it text."""
    if isinstance(value, bool | Mapping | list) or value is None:
        return False
    try:
        number = float(str(value))
    except ValueError:
        return False
    return math.isfinite(number) and number > 1 and number != int(number)


def with_whole_ones(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings to write, in which one record or step is a whole number, not 1.0."""
    plain = dict(tree)
    for (section, key), _ in SHARES_OR_NUMBERS.items():
        if isinstance(own := plain.get(section), Mapping):
            plain[section] = _with_whole_one(own, key)
        elif isinstance(own, list):  # the sources, where there are several
            plain[section] = [_with_whole_one(one, key) for one in own]
    return plain


def _with_whole_one(table: Mapping[str, Any], key: str) -> dict[str, Any]:
    return {**table, key: 1} if table.get(key) == 1 else dict(table)
