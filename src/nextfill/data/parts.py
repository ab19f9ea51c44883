"""The parts of a job's data: what is trained on, and what is only ever scored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from nextfill.core.errors import DataError
from nextfill.data.division import also_in
from nextfill.data.split import held_out
from nextfill.data.store.token_store import TokenStore, join_stores

ALSO_HELD_OUT = "also held out"
"""Why a training document is dropped whose text stands in the evaluation data, too."""


@dataclass(frozen=True)
class Part:
    """Some documents of a store.

    Args:
        store: The tokens.
        documents: Numbers of the documents, ascending, ``[D] int64``.
    """

    store: TokenStore
    documents: NDArray[np.int64]

    @property
    def num_tokens(self) -> int:
        """Tokens of the documents, without special tokens."""
        return int(self.store.documents["tokens"][self.documents].sum())

    @property
    def num_texts(self) -> int:
        """Documents that have tokens."""
        return int(np.count_nonzero(self.store.documents["tokens"][self.documents]))


@dataclass(frozen=True)
class Prepared:
    """The training and the held-out part of a job's data.

    Args:
        train: What is trained on.
        held_out: What is evaluated on.
        reused: Whether every store was already in the cache.
        validation: What the best step is chosen by, taken off the training part; else None.
        sets: Further sets to evaluate on, by name.
        dropped: Tokens of the training store that are not trained on, by reason.
        num_files: Files that were read.
        left_out: Files that were found and not read, by reason.
        sources: Of several sources, how much each gives; of one, nothing.
        leaks: Held-out documents that also stand in the training part, counted, once looked for.
    """

    train: Part
    held_out: Part
    reused: bool
    validation: Part | None = None
    sets: Mapping[str, Part] = field(default_factory=dict)
    dropped: Mapping[str, int] = field(default_factory=dict)
    num_files: int = 0
    left_out: Mapping[str, int] = field(default_factory=dict)
    sources: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    leaks: Mapping[str, int] | None = None

    @property
    def stores(self) -> list[TokenStore]:
        """The stores behind the parts, each once."""
        found = [self.train.store]
        if self.held_out.store.path != self.train.store.path:
            found.append(self.held_out.store)
        return found


def set_validation_apart(prepared: Prepared, size: float, seed: int) -> Prepared:
    """Take a validation part off the training part, by record and with no text on both sides."""
    store, numbers = prepared.train.store, prepared.train.documents
    apart = held_out(store.documents[numbers], size, seed, flag="--validation-size")
    train, validation = Part(store, numbers[~apart]), Part(store, numbers[apart])
    return replace(prepared, train=train, validation=validation)


def join_prepared(each: Sequence[Prepared], names: Sequence[str]) -> Prepared:
    """Put the parts of several sources together, no text of theirs on both sides."""
    joined = join_stores([store for one in each for store in one.stores])
    train: list[NDArray[np.int64]] = []
    rest: list[NDArray[np.int64]] = []
    first = 0
    for one in each:
        for store in one.stores:
            for part, numbers in ((one.train, train), (one.held_out, rest)):
                if part.store is store:
                    numbers.append(part.documents + first)
            first += store.num_documents
    held = Part(joined, np.concatenate(rest))
    dropped, left_out, sources = Counter[str](), Counter[str](), {}
    for number, (name, one) in enumerate(zip(names, each, strict=True)):
        dropped.update(one.dropped)
        left_out.update(one.left_out)
        sources[name if name not in sources else f"{name} ({number + 1})"] = {
            "train_documents": len(one.train.documents),
            "held_out_documents": len(one.held_out.documents),
            "tokens": sum(store.num_tokens for store in one.stores),
        }
    whole = Prepared(
        Part(joined, np.concatenate(train)),
        held,
        all(one.reused for one in each),
        dropped=dict(dropped),
        num_files=sum(one.num_files for one in each),
        left_out=dict(left_out),
        sources=sources,
    )
    return without_texts_of(whole, held)


def without_texts_of(prepared: Prepared, other: Part) -> Prepared:
    """Drop the training documents whose text also stands in documents that are evaluated on."""
    store, numbers = prepared.train.store, prepared.train.documents
    both = also_in(store.documents[numbers], other.store.documents[other.documents])
    if store.documents["tokens"][numbers[~both]].sum() == 0:
        raise DataError(
            "Every training document also stands in the evaluation data, and nothing is left to "
            "train on: give other text with --eval-data, another --eval-split, or --test-size."
        )
    also = int(store.documents["tokens"][numbers[both]].sum())
    before = prepared.dropped.get(ALSO_HELD_OUT, 0)
    dropped = {**prepared.dropped, ALSO_HELD_OUT: before + also} if also else prepared.dropped
    return replace(prepared, train=Part(store, numbers[~both]), dropped=dropped)
