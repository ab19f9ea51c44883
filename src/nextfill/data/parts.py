"""The parts of a job's documents, training and held-out, and the texts that they share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nextfill.config import Objective
from nextfill.core.errors import DataError
from nextfill.data.document import add_counts
from nextfill.data.infilling import Infilled, join_infilled
from nextfill.data.portions import SourcePortions
from nextfill.data.source_parts import no_contexts_error
from nextfill.data.store.document_fields import DocumentFields, Fields
from nextfill.data.store.pieces import join_pieces
from nextfill.data.store.store_cache import join_stores
from nextfill.data.store.text_hashes import first_halves, is_among
from nextfill.data.store.token_store import TokenStore

Ints = NDArray[np.int64]

ALSO_HELD_OUT = "also held out"
"""Reason for dropping a training document whose text is evaluated, too."""


@dataclass(frozen=True)
class Part:
    """Some documents of a store, by their numbers, ascending, ``[D] int64``."""

    store: TokenStore
    documents: Ints

    @classmethod
    def whole(cls, store: TokenStore) -> Part:
        """Return all documents of a store."""
        return cls(store, np.arange(store.num_documents, dtype=np.int64))

    @property
    def rows(self) -> NDArray[np.void]:
        """Rows of ``token_store.DOCUMENT``, ``[D]``."""
        return self.store.documents[self.documents]

    @property
    def fields(self) -> DocumentFields:
        """The fields of these rows, none of which is in memory before it is asked for."""
        return DocumentFields(self.store, self.documents)

    @property
    def lengths(self) -> Ints:
        """Tokens of each document, without special tokens, ``[D] int64``."""
        return np.asarray(self.fields["tokens"], np.int64)

    @property
    def num_tokens(self) -> int:
        """Tokens of the documents, without special tokens."""
        return int(self.lengths.sum())

    @property
    def context_tokens(self) -> int:
        """Tokens of the documents' contexts, which are no targets."""
        contexts = self.store.contexts
        return 0 if contexts is None else int(contexts["tokens"][self.documents].sum())

    @property
    def num_texts(self) -> int:
        """Documents that have tokens."""
        return int(np.count_nonzero(self.lengths))

    def divide(self, apart: NDArray[np.bool_]) -> tuple[Part, Part]:
        """Return the documents that a mask leaves, and those that it marks."""
        return Part(self.store, self.documents[~apart]), Part(self.store, self.documents[apart])

    def joined(self) -> Part:
        """Return the part with pieces of a document that follow each other as one document."""
        return Part(*join_pieces(self.store, self.documents))


def refuse_contexts(objective: Objective | None, *parts: Part) -> None:
    """Refuse contexts for a masked model, which sees the text on both sides of a blank anyway."""
    for part in parts:
        if objective == "masked" and part.store.contexts is not None:
            counts = part.store.meta["counts"]
            fields = counts["text_field"], counts["context_field"]
            raise no_contexts_error(part.store.meta["name"], *fields)


@dataclass(frozen=True)
class PreparedData:
    """The training and the held-out part of a job's data, and counts for the ledger.

    Args:
        reused: Whether every store was already in the cache.
        validation: Documents that choose the best step, taken off the training part; or None.
        dropped: Tokens of the training store that are not trained on, by reason.
        left_out: Files that were found and not read, by reason.
        encodings: Text files by encoding; empty where all are UTF-8.
        sources: The counts of each source where there are several, else empty.
        leaks: Counts of `Leaks`; None before a search.
        before_ends: Numbers of the training documents that are parts before held-out ends.
        num_ends: Held-out documents that are the ends of others.
        portions: The source, of which these are the first portion; None where they are all of it.
        files: The files of each source, by its name and slice.
        infilled: The documents of the training store as they are trained on, where some are cut for
            infilling; else None.
        last_is_general: Whether the last source is general text, which chooses no step.
    """

    train: Part
    held_out: Part
    reused: bool
    validation: Part | None = None
    sets: Mapping[str, Part] = field(default_factory=dict)
    dropped: Mapping[str, int] = field(default_factory=dict)
    num_files: int = 0
    left_out: Mapping[str, int] = field(default_factory=dict)
    encodings: Mapping[str, int] = field(default_factory=dict)
    sources: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    leaks: Mapping[str, int] | None = None
    before_ends: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    num_ends: int = 0
    portions: SourcePortions | None = None
    files: Mapping[tuple[str, str], Mapping[str, Mapping[str, Any]]] = field(default_factory=dict)
    infilled: Infilled | None = None
    last_is_general: bool = False

    @property
    def stores(self) -> list[TokenStore]:
        """The stores behind the parts, each once."""
        one, other = self.train.store, self.held_out.store
        return [one] if one.path == other.path else [one, other]

    def joined(self) -> PreparedData:
        """Return the parts with pieces of a document that follow each other as one document.

        Where documents are cut for infilling, each piece is cut by itself and stays apart.
        """
        if self.infilled is not None:
            return self
        validation = None if self.validation is None else self.validation.joined()
        return replace(self, train=self.train.joined(), validation=validation)

    @property
    def trained(self) -> Part:
        """The training part as it is trained on."""
        return (
            self.train if self.infilled is None else Part(self.infilled.store, self.train.documents)
        )


def join_prepared(each: Sequence[PreparedData], names: Sequence[str]) -> PreparedData:
    """Join the parts of several sources, and drop training texts that any of them holds out."""
    numbers = [number for number, one in enumerate(each) for _ in one.stores]
    joined = join_stores([store for one in each for store in one.stores], numbers)
    train: list[Ints] = []
    rest: list[Ints] = []
    first = 0
    for one in each:
        for store in one.stores:
            for part, documents in ((one.train, train), (one.held_out, rest)):
                if part.store is store:
                    documents.append(part.documents + first)
            first += store.num_documents
    held = Part(joined, np.concatenate(rest))
    dropped, left_out, sources = Counter[str](), Counter[str](), {}
    for number, (name, one) in enumerate(zip(names, each, strict=True)):
        dropped.update(one.dropped)
        left_out.update(one.left_out)
        sources[name if name not in sources else f"{name} ({number + 1})"] = {
            "train_documents": len(one.train.joined().documents),
            "held_out_documents": len(one.held_out.documents),
            "tokens": sum(store.num_tokens for store in one.stores),
        }
    whole = PreparedData(
        Part(joined, np.concatenate(train)),
        held,
        all(one.reused for one in each),
        dropped=dict(dropped),
        num_files=sum(one.num_files for one in each),
        left_out=dict(left_out),
        encodings=add_counts(one.encodings for one in each),
        sources=sources,
        num_ends=sum(one.num_ends for one in each),
        infilled=_join_infilled(each),
    )
    return drop_shared_texts(whole, held)


def _join_infilled(each: Sequence[PreparedData]) -> Infilled | None:
    """Join the documents of all stores as they are trained on; None if none is cut."""
    if all(one.infilled is None for one in each):
        return None
    return join_infilled(
        [
            one.infilled if one.infilled and store is one.train.store else Infilled.none_of(store)
            for one in each
            for store in one.stores
        ],
        [number for number, one in enumerate(each) for _ in one.stores],
    )


def drop_shared_texts(prepared: PreparedData, other: Part) -> PreparedData:
    """Drop the training documents whose text is also among documents to evaluate on."""
    train, dropped = prepared.train.divide(shared_texts(prepared.train.fields, other.fields))
    if train.num_tokens == 0:
        raise DataError(
            "Every training document also stands in the evaluation data, and nothing is left to "
            "train on: give other text with --eval-data, another --eval-split, or --test-size."
        )
    reasons = prepared.dropped
    if dropped.num_tokens:
        before = reasons.get(ALSO_HELD_OUT, 0)
        reasons = {**reasons, ALSO_HELD_OUT: before + dropped.num_tokens}
    return replace(prepared, train=train, dropped=reasons)


def shared_texts(rows: Fields, others: Fields) -> NDArray[np.bool_]:
    """Mark the documents whose text is also among others.

    Args:
        rows: The fields of the documents, ``[documents]``.
        others: Those of documents to compare with.

    Returns:
        ``[documents] bool``; False for a text without words.
    """
    halves, others_halves = first_halves(rows), first_halves(others)
    likely = is_among(halves, others_halves)
    likely &= rows["words"] > 0
    if not likely.any():
        return likely
    among = is_among(others_halves, halves[likely])
    known = {tuple(pair) for pair in others["hash"][among].tolist()}
    places = np.flatnonzero(likely)  # half of the hash agrees, so nearly always all of it
    for place, pair in zip(places.tolist(), rows["hash"][places].tolist(), strict=True):
        likely[place] = tuple(pair) in known
    return likely
