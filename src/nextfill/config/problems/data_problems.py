"""Settings of data that cannot hold whatever the data are: refused before any of them is read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any

from nextfill.config import DataConfig
from nextfill.config.options import Assignment
from nextfill.core.cache_amounts import parse_size
from nextfill.core.errors import ConfigError

SET_NAME = re.compile(r"[A-Za-z0-9][\w-]*")
_OF_STORES = {("store",), ("cache_limit",)}

TAKEN_NAMES = ("held-out", "validation")
"""Names of sets that every run has."""


def data_problems(config: Any) -> Iterator[str]:
    """Yield the problems of a command's settings of data, blocks and evaluation sets.

    Example:
        >>> from nextfill.config import BlocksConfig, TrainConfig
        >>> print(*data_problems(TrainConfig(blocks=BlocksConfig(window_rows=4))))
        --window-rows 4 is for text end to end: give --packing concat, too, or leave it out.
    """
    data, blocks = getattr(config, "data", None), getattr(config, "blocks", None)
    if (limit := getattr(config, "cache_limit", None)) is not None:
        try:
            parse_size(limit, "--cache-limit")
        except ConfigError as error:
            yield from error.problems
    if isinstance(data, DataConfig):
        for one in data.each:
            yield from source_problems(one)
        yield from mixture_problems(data)
    if blocks is not None and blocks.window_rows is not None and blocks.packing != "concat":
        yield (
            f"--window-rows {blocks.window_rows} is for text end to end: give --packing concat, "
            "too, or leave it out."
        )
    yield from _store_problems(getattr(config, "store", None), data)
    sets = getattr(getattr(config, "evaluation", None), "sets", {})
    for name, one in sets.items():
        yield from source_problems(DataConfig(**asdict(one)))
        if not SET_NAME.fullmatch(name) or name in TAKEN_NAMES:
            yield (
                f"[evaluation.{name}]: expected a name of letters, digits, - and _, other than "
                f"{' and '.join(TAKEN_NAMES)}."
            )


def _store_problems(store: str | None, data: Any) -> Iterator[str]:
    """Yield what is wrong with the address of token stores."""
    if store is None:
        return
    if "::" in store or not store.strip():
        yield f"--store {store!r}: expected one address, such as s3://bucket/stores, or a folder."
    if isinstance(data, DataConfig) and any(one.streaming for one in data.each):
        yield (
            "--store is for text that is read whole, and --streaming reads it as it comes: leave "
            "one of them out."
        )


def look_problems(layer: Iterable[Assignment]) -> Iterator[str]:
    """Yield the settings of stores, in a layer in normal form, where no token is kept."""
    for item in layer:
        if item.path in _OF_STORES:
            yield (
                f"{item.label} is for preparing: leave it out, a look keeps nothing of the first "
                "records that it reads. To have tokens there, type nextfill prepare."
            )


def mixture_problems(data: DataConfig) -> Iterator[str]:
    """Yield what is wrong with the shares of several sources.

    Example:
        >>> data = DataConfig(sources=[DataConfig(source="a", weight=0.7), DataConfig(source="b")])
        >>> list(mixture_problems(data))
        []
    """
    weights = [one.weight for one in data.each]
    repeats = [one.repeat for one in data.each]
    given = [one for one in weights if one is not None]
    key = "weight" if given else "repeat"
    if not given and all(one is None for one in repeats):
        return
    if len(data.each) == 1:
        yield (
            f"{key} is of one source among several, and here is one: name the others, each in a "
            f"[[data]] of its own, or leave {key} out."
        )
    elif given and any(one is not None for one in repeats):
        yield (
            "weight and repeat both say how many blocks an epoch takes: give weight to the "
            "sources, or repeat, and leave the other out."
        )
    elif given and len(given) < len(weights) and sum(given) >= 1:
        yield (
            f"weight: the shares add up to {sum(given):g} and leave nothing for the sources "
            "without one: expected less than 1 in all, or a weight for each source."
        )


def share_problems(data: DataConfig) -> Iterator[str]:
    """Yield the shares of sources where each block is given once."""
    for one in data.each:
        for key in ("weight", "repeat"):
            if getattr(one, key) is not None:
                yield (
                    f"{key} is for training, and here each block comes once: leave it out, and "
                    f"draw the blocks of {one.source} as often as you like."
                )


def source_problems(data: DataConfig) -> Iterator[str]:
    """Yield what does not go together in the settings of one source."""
    if data.eval_source is not None and data.test_size is not None:
        yield "Give --eval-data or --test-size, not both: each makes the held-out part."
    if data.eval_split is not None and data.test_size is not None:
        yield "Give --eval-split or --test-size, not both."
    field = data.context_field
    if field is None:
        return
    if field == data.text_field:
        yield (
            f"--context-field and --text-field both name {field}: name the text that is learnt, or "
            "leave --context-field out to learn all of it."
        )
    if data.explode:
        yield (
            "--explode makes a document of each text of a list, and --context-field belongs to the "
            "record: leave one of them out."
        )


def other_than_jsonl(out: str | None) -> Iterator[str]:
    """Yield the problem of a file of answers, ``--out``, that is of another format."""
    if out is not None and not out.endswith(".jsonl"):
        yield f"--out {out}: one JSON object a line is written, so the name has to end in .jsonl."
