"""Settings of data that cannot hold whatever the data are: refused before any of them is read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from nextfill.config import DataConfig

SET_NAME = re.compile(r"[A-Za-z0-9][\w-]*")
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
    if isinstance(data, DataConfig):
        for one in data.each:
            yield from source_problems(one)
    if blocks is not None and blocks.window_rows is not None and blocks.packing != "concat":
        yield (
            f"--window-rows {blocks.window_rows} is for text end to end: give --packing concat, "
            "too, or leave it out."
        )
    sets = getattr(getattr(config, "evaluation", None), "sets", {})
    for name, one in sets.items():
        yield from source_problems(DataConfig(**asdict(one)))
        if not SET_NAME.fullmatch(name) or name in TAKEN_NAMES:
            yield (
                f"[evaluation.{name}]: expected a name of letters, digits, - and _, other than "
                f"{' and '.join(TAKEN_NAMES)}."
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
