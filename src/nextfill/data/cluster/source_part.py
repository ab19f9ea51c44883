"""One part of a source, read and encoded by itself: the work of one process among many.

The fields are those that the first records of the whole source have; everything else that depends
on other parts, the numbers of records and where batches end, is set right where the parts meet.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from nextfill.config import DataConfig
from nextfill.core.errors import DataError
from nextfill.data.document import ReadCounts, Source
from nextfill.data.records.unreadable_files import UnreadableFileError
from nextfill.data.source_parts import read_documents
from nextfill.data.store.encoded_batch import (
    EncodedBatch,
    batches,
    digest_bytes,
    encode,
    measure,
)
from nextfill.data.store.encoder import Encoder, Engine, EngineMismatchError

logger = logging.getLogger("nextfill")

Note = tuple[int, str]
"""The level and the words of a message."""


@dataclass(frozen=True)
class EncoderFacts:
    """All that makes an encoder anywhere: the backend's JSON, and what that lacks."""

    backend: str
    splits_special: bool
    engine: Engine

    def encoder(self) -> Encoder:
        """Return this process's encoder, which is made once."""
        return _encoder(self)


@lru_cache(maxsize=1)
def _encoder(facts: EncoderFacts) -> Encoder:
    from tokenizers import Tokenizer

    backend = Tokenizer.from_str(facts.backend)
    backend.encode_special_tokens = facts.splits_special
    return Encoder(backend, facts.engine)


@dataclass(frozen=True)
class SourcePart:
    """Records that follow each other in a source, and what is to be made of them.

    Args:
        source: The records, numbered from 0.
        data: The settings of the whole source.
        fields: Paths of text and context that the first records of the whole source have.
    """

    source: Source
    data: DataConfig
    fields: tuple[str | None, str | None]


@dataclass(frozen=True)
class PartEnd:
    """The counts of a part that is read to its end, and the messages about it."""

    counts: ReadCounts
    notes: tuple[Note, ...]


@dataclass(frozen=True)
class PartError:
    """The error that a part ended with.

    Args:
        message: What it says.
        is_mismatch: Whether two engines gave other ids.
        file: Place among all files of the one that cannot be read; None for other errors.
    """

    message: str
    is_mismatch: bool
    file: int | None = None


PartItem = EncodedBatch | PartEnd | PartError
"""A piece of the result of a part: some batches, then an end or an error."""


def encoded_part(part: SourcePart, encoder: EncoderFacts) -> Iterator[PartItem]:
    """Yield the documents of a part, encoded, and then its end or its error."""
    counts = ReadCounts()
    with _noted() as notes:
        try:
            yield from _batches(part, encoder, counts)
        except EngineMismatchError as error:
            yield PartError(str(error), is_mismatch=True)
            return
        except DataError as error:
            error = _recounted(error, part, encoder)
            file = error.at if isinstance(error, UnreadableFileError) else None
            yield PartError(str(error), is_mismatch=False, file=file)
            return
    yield PartEnd(counts, tuple(notes))


def _recounted(error: DataError, part: SourcePart, encoder: EncoderFacts) -> DataError:
    """Return the error of a part with the numbers that its lines have in the whole file.

    They are had by reading what comes before, and the part once more, which nobody does unasked.
    """
    if part.source.recounted is None:
        return error
    try:
        for _ in _batches(replace(part, source=part.source.recounted()), encoder, ReadCounts()):
            pass
    except DataError as counted:
        return counted
    return error  # of a moment, such as the network's


def _batches(part: SourcePart, facts: EncoderFacts, counts: ReadCounts) -> Iterator[EncodedBatch]:
    encoder = facts.encoder()
    read, _ = read_documents(part.source, part.data, counts=counts, found=part.fields)
    for batch in batches(read):
        columns = tuple(batch[0].columns)
        measured = measure(batch, columns)
        encoded = encode(encoder, measured, columns)
        if encoder.engine != facts.engine:  # told, and the whole source begun anew
            raise EngineMismatchError(
                f"{part.source.name}: gigatoken gives other ids than tokenizers for some of it, so "
                "that tokenizers has to encode all"
            )
        texts = np.frombuffer(digest_bytes(measured), np.uint8)
        yield EncodedBatch(encoded.ids, encoded.rows, encoded.contexts, encoded.columns, texts)


class _Notes(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.notes: list[Note] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.notes.append((record.levelno, record.getMessage()))


@contextmanager
def _noted() -> Iterator[list[Note]]:
    """Collect the messages of this process, for the one that the user sees."""
    handler = _Notes()
    logger.addHandler(handler)
    try:
        yield handler.notes
    finally:
        logger.removeHandler(handler)
