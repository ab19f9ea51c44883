"""Records of a Python program that are trained on as they come, without being written down first.

The settings of a run name them by their type and a number of chance, ``live:generator-8b1f...``,
which stands for what they hold: the tokens of what was read already are found by it. Whoever goes
on with the run passes the same data again, from their beginning.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Iterator
from typing import Any

from nextfill.config import TrainConfig
from nextfill.config.options import Assignment
from nextfill.config.prefixes import LIVE
from nextfill.core.errors import DataError
from nextfill.data.document import Record, Source
from nextfill.data.records.files import Row
from nextfill.data.records.python_data.data_frames import columns_of
from nextfill.data.records.python_data.python_records import check_kind, is_name, json_lines
from nextfill.data.records.slices import read_pieces, resolve

_held: dict[str, Iterable[object]] = {}
"""The data by their names, for as long as the program runs."""


def hold_for_training(config: Any, one: Assignment) -> str | None:
    """Hold data that are trained on as they come, and return their name; None for any others.

    Tables are written down all the same. A run that goes on keeps the name that it has.
    """
    if not (isinstance(config, TrainConfig) and config.data.streaming):
        return None
    if one.path != ("data", "source") or is_name(one.value):
        return None
    check_kind(one.label, one.value)
    if columns_of(one.label, one.value) is not None:
        return None
    recorded = config.data.source
    return hold(one.value, recorded if recorded.startswith(LIVE) else None)


def hold(value: Any, name: str | None = None) -> str:
    """Hold data for their reading, under a new name, or under that of a run that goes on.

    Example:
        >>> hold(iter(["one", "two"])).startswith("live:list_iterator-")
        True
    """
    name = name or f"{LIVE}{type(value).__name__}-{secrets.token_hex(8)}"
    # A data set of PyTorch's may have only a length and items.
    is_iterable = hasattr(value, "__iter__")
    _held[name] = value if is_iterable else [value[number] for number in range(len(value))]
    return name


def open_held(name: str, split: str | None) -> Source:
    """Make the source of data from a Python program, whose only split is ``train``."""
    kind = name.removeprefix(LIVE).rpartition("-")[0]
    title = f"the {kind} from Python"

    def count(_split: str) -> int:
        raise DataError(
            f"--split {split!r} needs the number of records of {title}, which is not known while "
            "it is read as it comes: give places from the beginning, such as train[:5000]."
        )

    def rows(_split: str) -> Iterator[Row]:
        if name not in _held:
            raise DataError(
                f"{title} is not here: pass the same data again, from their beginning, with "
                "nextfill.train(out=RUN, resume=True, data=...); to evaluate, name other data."
            )
        value = _held[name]
        records = iter(value)
        if records is value:  # it can be gone through once
            _held[name] = _Spent(kind)
        for number, line in enumerate(json_lines(records, "data")):
            yield f"{title} (record {number})", json.loads(line)

    pieces = resolve(split or "train", ["train"], count)

    def read() -> Iterator[Record]:
        for number, (where, value) in enumerate(read_pieces(pieces, rows)):
            yield Record(number, value, where)

    return Source(title, f"{name} {pieces}", read, default_text_field=None, has_test_split=False)


class _Spent:
    """What is left of an iterator that was begun."""

    def __init__(self, kind: str) -> None:
        self._kind = kind

    def __iter__(self) -> Iterator[object]:
        raise DataError(
            f"data: the {self._kind} can be gone through once, and what it gave is no longer in "
            "the cache. Pass what can be gone through again, such as a list or a data set, or "
            "leave streaming out."
        )
