"""Which text is held out: one rule, for what is tokenized and for what a tokenizer learns from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from nextfill.config import DataConfig
from nextfill.core.errors import ConfigError, DataError
from nextfill.data.document import Document, ReadCounts, Source
from nextfill.data.records.fields import documents
from nextfill.data.records.file_formats import format_by_name
from nextfill.data.records.sources import open_source
from nextfill.data.split import held_out

DEFAULT_TEST_SIZE = 0.1


def open_parts(data: DataConfig) -> tuple[Source, Source | None]:
    """Open what is learnt from, and what is held out."""
    if data.sources:
        raise ConfigError(["data: found several sources where one is expected."])
    if data.eval_source is not None and data.test_size is not None:
        raise ConfigError(
            ["Give --eval-data or --test-size, not both: each makes the held-out part."]
        )
    if data.eval_split is not None and data.test_size is not None:
        raise ConfigError(["Give --eval-split or --test-size, not both."])
    source = _open(data, data.source, data.split)
    if data.eval_source is None and data.eval_split is None and not _own_part(source, data):
        return source, None
    eval_split = data.eval_split or ("test" if data.eval_source is None else None)
    return source, _open(_for_evaluation(data), data.eval_source or data.source, eval_split)


def open_whole(data: DataConfig) -> Source:
    """Open one source, all of which is scored.

    A source that holds out a part of its own gives that part, unless a split is named.
    """
    source = _open(data, data.source, data.split)
    if source.has_test_split and data.split is None:
        source = _open(data, data.source, "test")
    return source


def split_off(
    rows: NDArray[np.void], data: DataConfig, seed: int, *, advice: str = ""
) -> NDArray[np.bool_]:
    """Mark the documents that are held out of a source, ``[documents] bool``."""
    return held_out(rows, data.test_size or DEFAULT_TEST_SIZE, seed, advice=advice)


def also_in(mine: NDArray[np.void], theirs: NDArray[np.void]) -> NDArray[np.bool_]:
    """Mark the documents whose text also stands among others, ``[documents] bool``."""
    has_words = mine["words"] > 0
    likely = has_words & np.isin(mine["hash"][:, 0], theirs["hash"][:, 0])
    halves = mine["hash"][likely, 0]
    known = {tuple(pair) for pair in theirs["hash"][np.isin(theirs["hash"][:, 0], halves)].tolist()}
    for number in np.flatnonzero(likely):  # half of the hash agrees, so nearly always all of it
        likely[number] = tuple(mine["hash"][number].tolist()) in known
    return likely


def join_of(source: Source, data: DataConfig) -> str:
    """Return what joins a list of texts."""
    return source.default_join if data.join is None else data.join


def read_documents(source: Source, data: DataConfig) -> tuple[Iterator[Document], ReadCounts]:
    """Begin to read the documents of a source, and return the counts that fill up meanwhile."""
    counts = ReadCounts()
    read = documents(
        source,
        text_field=data.text_field,
        join=join_of(source, data),
        explode=data.explode,
        keep=data.keep_fields,
        counts=counts,
    )
    return read, counts


def no_text(source: Source, data: DataConfig, counts: ReadCounts) -> DataError:
    """Return the error for a source whose records hold no text."""
    reasons = [f"{number} {reason}" for reason, number in counts.skipped.items()]
    reasons += [f"{counts.empty} empty"] if counts.empty else []
    return DataError(
        f"{source.name} holds no text: of {counts.records} records, "
        f"{' and '.join(reasons) or 'none'} at {data.text_field or 'the text field'}. "
        "Name another field with --text-field."
    )


def _own_part(source: Source, data: DataConfig) -> bool:
    """Say whether the source's own held-out split applies."""
    pieces = (data.split or "train").split("+")
    only_train = all(piece.strip().partition("[")[0] == "train" for piece in pieces)
    return source.has_test_split and only_train and data.test_size is None


def _open(data: DataConfig, name: str, split: str | None) -> Source:
    return open_source(
        name,
        split=split,
        txt=data.txt,
        text_field=data.text_field,
        keep=data.keep_fields,
        format=data.format,
        streaming=data.streaming,
    )


def _for_evaluation(data: DataConfig) -> DataConfig:
    """Return the settings for the evaluation data, whose names beat the format of the others."""
    told, _ = format_by_name(data.eval_source or "")
    return replace(data, format=None) if told else data
