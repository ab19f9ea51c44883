"""A batch of documents on its way to the shards: measured, hashed and encoded."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nextfill.core.errors import DataError
from nextfill.data.document import Document, batched
from nextfill.data.store.contexts import context_rows, encode_apart
from nextfill.data.store.encoder import Encoded, Encoder, not_utf8
from nextfill.data.store.token_store import DOCUMENT
from nextfill.data.word_counts import count_words

BATCH_CHARACTERS = 4 << 20
BATCH_DOCUMENTS = 1 << 14

_LENGTH_BYTES = 8
"""Bytes of the length before each text that the digest of a store is of."""

EncodeTexts = Callable[[Encoder, Sequence[str], int], Encoded]
"""From an encoder, texts and the number of the first of them to their tokens."""


def encode_as_they_are(encoder: Encoder, texts: Sequence[str], first: int) -> Encoded:
    """Encode documents without any change."""
    return encoder.encode(texts)


class Measured(NamedTuple):
    """A batch of documents, its rows without tokens, and the bytes that the digest is of."""

    batch: Sequence[Document]
    rows: NDArray[np.void]
    contexts: NDArray[np.void] | None
    texts: Sequence[tuple[bytes, bytes]]


@dataclass(frozen=True)
class EncodedBatch:
    """Documents with their tokens, as a writer takes them.

    Args:
        ids: Token ids of all documents in a row, ``[tokens]``.
        rows: Rows of `DOCUMENT`, ``[documents]``, whose offsets are not known yet.
        contexts: Rows of `CONTEXT`, ``[documents]``; None where documents have no contexts.
        columns: Kept columns by their names, ``[documents]`` texts each.
        texts: Each text in UTF-8 with its length before it, one after the other; empty where the
            digest has taken them.
    """

    ids: NDArray[np.unsignedinteger]
    rows: NDArray[np.void]
    contexts: NDArray[np.void] | None
    columns: Mapping[str, list[str]]
    texts: NDArray[np.uint8] = field(default_factory=lambda: np.empty(0, np.uint8))

    def part(self, first: int, last: int) -> EncodedBatch:
        """Return the documents from a number up to another."""
        tokens = np.concatenate([[0], np.cumsum(self.rows["tokens"], dtype=np.int64)])
        sizes = np.cumsum(self.rows["bytes"].astype(np.int64) + _LENGTH_BYTES)
        places = np.concatenate([[0], sizes])
        return EncodedBatch(
            self.ids[tokens[first] : tokens[last]],
            self.rows[first:last],
            None if self.contexts is None else self.contexts[first:last],
            {name: texts[first:last] for name, texts in self.columns.items()},
            self.texts[places[first] : places[last]],
        )


def batches(documents: Iterable[Document]) -> Iterator[list[Document]]:
    """Yield documents a few MB at a time."""
    return batched(
        documents, BATCH_CHARACTERS, BATCH_DOCUMENTS, lambda document: len(document.text)
    )


def regrouped(parts: Iterable[EncodedBatch]) -> Iterator[EncodedBatch]:
    """Yield the documents of several readings in the batches that one reading makes of them all."""
    left: EncodedBatch | None = None
    for part in parts:
        left = part if left is None else _joined(left, part)
        while left is not None and (size := _batch_size(left.rows["characters"])):
            yield left if size == len(left.rows) else left.part(0, size)
            left = left.part(size, len(left.rows)) if size < len(left.rows) else None
    if left is not None and len(left.rows):
        yield left


def _batch_size(characters: NDArray[np.unsignedinteger]) -> int:
    """Return how many documents the first batch has; 0 where it is not full yet."""
    reached = int(np.searchsorted(np.cumsum(characters, dtype=np.int64), BATCH_CHARACTERS)) + 1
    size = min(reached, BATCH_DOCUMENTS)
    return size if size <= len(characters) else 0


def _joined(one: EncodedBatch, other: EncodedBatch) -> EncodedBatch:
    contexts = None
    if one.contexts is not None and other.contexts is not None:
        contexts = np.concatenate([one.contexts, other.contexts])
    return EncodedBatch(
        np.concatenate([one.ids, other.ids]),
        np.concatenate([one.rows, other.rows]),
        contexts,
        {name: [*texts, *other.columns[name]] for name, texts in one.columns.items()},
        np.concatenate([one.texts, other.texts]),
    )


def document_rows(batch: Sequence[Document], texts: Sequence[bytes]) -> NDArray[np.void]:
    """Return rows of `DOCUMENT` for documents and their UTF-8 bytes, without tokens."""
    hashes = [hashlib.blake2b(text, digest_size=16).digest() for text in texts]
    rows = np.zeros(len(batch), DOCUMENT)
    rows["record"] = [document.record for document in batch]
    rows["bytes"] = [len(text) for text in texts]
    rows["characters"] = [len(document.text) for document in batch]
    rows["words"] = count_words(texts)
    rows["hash"] = np.frombuffer(b"".join(hashes), "<u8").reshape(-1, 2)
    return rows


def measure(batch: Sequence[Document], columns: Sequence[str]) -> Measured:
    """Count and hash the documents of a batch, each of which has the columns."""
    for document in batch:
        if tuple(document.columns) != tuple(columns):
            raise DataError(
                f"record {document.record} has the columns {list(document.columns)}, the "
                f"records before it have {list(columns)}; keep columns that all have"
            )
    try:
        written = [document.text.encode() for document in batch]
    except UnicodeEncodeError as error:
        raise not_utf8([document.text for document in batch]) from error
    sized = [(len(text).to_bytes(_LENGTH_BYTES, "little"), text) for text in written]
    return Measured(batch, document_rows(batch, written), context_rows(batch), sized)


def encode(
    encoder: Encoder,
    measured: Measured,
    columns: Sequence[str],
    *,
    first: int = 0,
    encode_texts: EncodeTexts = encode_as_they_are,
) -> EncodedBatch:
    """Encode a batch that was measured, whose first document has the number ``first``."""
    batch, rows, contexts, _ = measured
    if contexts is None:
        ids, rows["tokens"] = encode_texts(encoder, [one.text for one in batch], first)
    else:
        ids, rows["tokens"], contexts["tokens"] = encode_apart(encoder, batch)
    return EncodedBatch(
        ids, rows, contexts, {name: [one.columns[name] for one in batch] for name in columns}
    )


def digest_bytes(measured: Measured) -> bytes:
    """Return each text of a batch with its length before it, one after the other."""
    return b"".join(chain.from_iterable(measured.texts))
