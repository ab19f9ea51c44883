"""A whole source, read and encoded part by part, as one reading would give it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import fields, replace
from typing import Protocol

from nextfill.config import DataConfig
from nextfill.core.errors import DataError
from nextfill.data.cluster.source_part import (
    EncoderFacts,
    Note,
    PartEnd,
    PartError,
    PartItem,
    SourcePart,
)
from nextfill.data.document import ReadCounts, Source, add_counts
from nextfill.data.records.fields.field_hints import ENOUGH_TEXTS
from nextfill.data.source_parts import read_documents
from nextfill.data.store.encoded_batch import EncodedBatch
from nextfill.data.store.encoder import Encoder, EngineMismatchError

logger = logging.getLogger("nextfill")

EncodedSource = tuple[Iterator[EncodedBatch], ReadCounts]
"""Batches that may end anywhere, and the counts that fill up while they are taken."""


class Workers(Protocol):
    """Processes that work on the parts of a source."""

    @property
    def most_parts(self) -> int:
        """The number of parts that a source is best divided into, if it can be."""
        ...

    def can_take(self, part: SourcePart) -> bool:
        """Check that a part can be sent to another process."""
        ...

    def results(
        self, parts: Sequence[SourcePart], encoder: EncoderFacts
    ) -> Generator[Iterable[PartItem]]:
        """Yield what `encoded_part` yields of each part, in the order of the parts."""
        ...


def encoded_source(
    source: Source, data: DataConfig, encoder: Encoder, workers: Workers
) -> EncodedSource | None:
    """Return the documents of a source as its workers encode them; None where none can.

    The first records are read here: the fields that they have are those of all, and what is told
    of the first texts of a source is told of these.
    """
    read, first = read_documents(source, data)
    if next(read, None) is None:
        return None
    while first.with_text < ENOUGH_TEXTS and next(read, None) is not None:
        pass
    fields = first.text_field, first.context_field
    sources = [source] if source.divided is None else source.divided(workers.most_parts)
    if len(sources) == 1:
        logger.info("%s: one worker reads it: a slice, or one file not divided", source.name)
    for one in sources:
        one.noted_fields.add(fields[0] or "")
    parts = [SourcePart(one, data, fields) for one in sources]
    if not workers.can_take(parts[0]):
        logger.warning("%s: read by this process, for an open archive cannot be sent", source.name)
        return None
    counts = ReadCounts(text_field=fields[0], context_field=fields[1])
    facts = EncoderFacts(*encoder.backend_text, encoder.engine)
    return _joined(source, lambda: workers.results(parts, facts), counts), counts


def _joined(
    source: Source, results: Callable[[], Generator[Iterable[PartItem]]], counts: ReadCounts
) -> Iterator[EncodedBatch]:
    """Yield the batches of all parts with the numbers that their records have in the source."""
    noted: set[Note] = set()
    with closing(results()) as of_parts:
        for result in of_parts:
            before = counts.records
            for item in result:
                if isinstance(item, EncodedBatch):
                    # Copies: they wait for the end of a shard, and would hold the whole result.
                    rows = item.rows.copy()
                    rows["record"] += before
                    contexts = None if item.contexts is None else item.contexts.copy()
                    yield replace(item, rows=rows, contexts=contexts)
                elif isinstance(item, PartError):
                    raise _error_of(source, item)
                else:
                    _add(counts, item)
                    for level, message in [one for one in item.notes if one not in noted]:
                        noted.add((level, message))
                        logger.log(level, "%s", message)
    source.check()


def _error_of(source: Source, error: PartError) -> Exception:
    """Return the error that one reading of the source would end with."""
    if error.is_mismatch:
        return EngineMismatchError(error.message)
    if error.file is not None and source.unreadable is not None:
        return source.unreadable(error.file, error.message)
    return DataError(error.message)


def _add(counts: ReadCounts, end: PartEnd) -> None:
    """Add the counts of a part, whose fields are those of all."""
    for name in (one.name for one in fields(ReadCounts)):
        mine, others = getattr(counts, name), getattr(end.counts, name)
        if isinstance(mine, dict):
            setattr(counts, name, add_counts([mine, others]))
        elif isinstance(mine, int):
            setattr(counts, name, mine + others)
