"""Rows of a data set on the Hub as they come, without downloading it first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from nextfill.data.reading.choice import columns_for
from nextfill.data.reading.hub import dataset_errors
from nextfill.data.reading.splits import Piece, read_pieces, resolve
from nextfill.errors import DataError
from nextfill.hub import DatasetName, patient_hub

_TRIES = 3
"""How often `datasets` opens or reads again, in place of 20 times 5 to 60 seconds."""


def open_stream(
    name: DatasetName, split: str, fields: Sequence[str]
) -> Callable[[], Iterable[Mapping[str, Any]]]:
    """Open a data set without reading any of its rows.

    Args:
        name: The data set, with its commit.
        split: A split or slices of splits; ``train[:5000]`` reads no more than 5,000 rows.
        fields: Path of the text, if the user names one, and of what is kept beside it: then only
            their columns are read.

    Returns:
        A function that begins a pass over the rows.

    Raises:
        DataError: If it cannot be had, or the slice needs the number of rows, which is not known.
    """
    import datasets

    with dataset_errors(name, split), patient_hub(), _few_tries():
        splits = datasets.load_dataset(
            name.repo, name.config, revision=name.revision, streaming=True
        )

    def count(wanted: str) -> int:
        known = getattr(splits[wanted].info, "splits", None) or {}
        number = known[wanted].num_examples if wanted in known else 0
        if not number:
            raise DataError(
                f"--split {split!r} needs the number of rows of {name.repo}, which is not known "
                "while it is read as it comes: give positions, such as train[:5000], or leave "
                "--streaming out."
            )
        return int(number)

    pieces = resolve(split, list(splits), count)
    return partial(_streamed_rows, splits, pieces, fields)


def _streamed_rows(
    splits: Mapping[str, Any], pieces: tuple[Piece, ...], fields: Sequence[str]
) -> Iterator[Mapping[str, Any]]:
    def begin(split: str) -> Iterator[Mapping[str, Any]]:
        rows = splits[split]
        columns = columns_for(fields, rows.features.arrow_schema) if rows.features else None
        return iter(rows if columns is None else rows.select_columns(columns))

    with _few_tries():
        yield from read_pieces(pieces, begin)


@contextmanager
def _few_tries() -> Iterator[None]:
    """Have `datasets` give up within a minute; its settings are given back afterwards."""
    import datasets

    settings = datasets.config
    names = ("STREAMING_READ_MAX_RETRIES", "STREAMING_OPEN_MAX_RETRIES")
    waits = (
        "STREAMING_READ_RETRY_INTERVAL",
        "STREAMING_OPEN_RETRY_INTERVAL",
        "STREAMING_READ_SERVER_UNAVAILABLE_RETRY_INTERVAL",
        "STREAMING_READ_RATE_LIMIT_RETRY_INTERVAL",
    )
    before = {name: getattr(settings, name) for name in (*names, *waits)}
    wanted = dict.fromkeys(names, _TRIES) | dict.fromkeys(waits, 2)
    for name, value in wanted.items():
        setattr(settings, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(settings, name, value)
