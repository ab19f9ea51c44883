"""The division of a job's documents into training and held-out parts with no text in common."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from nextfill.config import DataConfig
from nextfill.core.errors import ConfigError, DataError
from nextfill.data.document import add_counts
from nextfill.data.packing.order import philox
from nextfill.data.portions import SourcePortions
from nextfill.data.store.store_cache import join_stores
from nextfill.data.store.token_store import TokenStore

Ints = NDArray[np.int64]

DEFAULT_TEST_SIZE = 0.1

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
    def lengths(self) -> Ints:
        """Tokens of each document, without special tokens, ``[D] int64``."""
        return np.asarray(self.store.documents["tokens"][self.documents], np.int64)

    @property
    def num_tokens(self) -> int:
        """Tokens of the documents, without special tokens."""
        return int(self.lengths.sum())

    @property
    def num_texts(self) -> int:
        """Documents that have tokens."""
        return int(np.count_nonzero(self.lengths))

    def divide(self, apart: NDArray[np.bool_]) -> tuple[Part, Part]:
        """Return the documents that a mask leaves, and those that it marks."""
        return Part(self.store, self.documents[~apart]), Part(self.store, self.documents[apart])


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
        portions: The source, of which these are the first portion; None where they are all of it.
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
    portions: SourcePortions | None = None

    @property
    def stores(self) -> list[TokenStore]:
        """The stores behind the parts, each once."""
        one, other = self.train.store, self.held_out.store
        return [one] if one.path == other.path else [one, other]


def join_prepared(each: Sequence[PreparedData], names: Sequence[str]) -> PreparedData:
    """Join the parts of several sources, and drop training texts that any of them holds out."""
    joined = join_stores([store for one in each for store in one.stores])
    train: list[Ints] = []
    rest: list[Ints] = []
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
    whole = PreparedData(
        Part(joined, np.concatenate(train)),
        held,
        all(one.reused for one in each),
        dropped=dict(dropped),
        num_files=sum(one.num_files for one in each),
        left_out=dict(left_out),
        encodings=add_counts(one.encodings for one in each),
        sources=sources,
    )
    return drop_shared_texts(whole, held)


def drop_shared_texts(prepared: PreparedData, other: Part) -> PreparedData:
    """Drop the training documents whose text is also among documents to evaluate on."""
    train, dropped = prepared.train.divide(shared_texts(prepared.train.rows, other.rows))
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


def shared_texts(rows: NDArray[np.void], others: NDArray[np.void]) -> NDArray[np.bool_]:
    """Mark the documents whose text is also among others.

    Args:
        rows: Rows of ``token_store.DOCUMENT``, ``[documents]``.
        others: Rows to compare with.

    Returns:
        ``[documents] bool``; False for a text without words.
    """
    has_words = rows["words"] > 0
    likely = has_words & np.isin(rows["hash"][:, 0], others["hash"][:, 0])
    halves = rows["hash"][likely, 0]
    known = {tuple(pair) for pair in others["hash"][np.isin(others["hash"][:, 0], halves)].tolist()}
    for number in np.flatnonzero(likely):  # half of the hash agrees, so nearly always all of it
        likely[number] = tuple(rows["hash"][number].tolist()) in known
    return likely


def split_validation(prepared: PreparedData, size: float, seed: int) -> PreparedData:
    """Take a validation part off the training part, by record and with no text on both sides."""
    apart = held_out(prepared.train.rows, size, seed, flag="--validation-size")
    train, validation = prepared.train.divide(apart)
    return replace(prepared, train=train, validation=validation)


def split_off(
    rows: NDArray[np.void], data: DataConfig, seed: int, *, advice: str = ""
) -> NDArray[np.bool_]:
    """Mark the held-out documents of a source as its settings say, ``[documents] bool``."""
    if data.test_size is not None:
        return held_out(rows, data.test_size, seed, advice=advice)
    # Of a few records, a tenth may be none: nobody typed that size, so it is one of them.
    worded = rows["words"] > 0
    if len(np.unique(rows["record"][worded])) * DEFAULT_TEST_SIZE >= 1:
        return held_out(rows, DEFAULT_TEST_SIZE, seed, advice=advice)
    worded[worded] = held_out(rows[worded], 1, seed, advice=advice)
    return worded


def held_out(
    documents: NDArray[np.void],
    test_size: float,
    seed: int,
    *,
    flag: str = "--test-size",
    advice: str = "",
) -> NDArray[np.bool_]:
    """Mark the held-out documents.

    All documents of a record stay on one side, and so do identical texts: the choice is among
    groups of records that share a text, in an order that the seed gives. A text without words
    joins nothing, else every record with an empty field would be one group.

    Args:
        documents: Rows of ``token_store.DOCUMENT``, ``[documents]``.
        test_size: The share of the records to hold out, between 0 and 1, or their number.
        seed: Decides which ones, together with the flag.
        flag: The flag of the size, for messages; another one draws other records.
        advice: A further remedy for messages about too few records.

    Returns:
        True for held-out documents, ``[documents] bool``. The number of held-out records is
        ``test_size``, less at most the surplus of one group.

    Raises:
        ConfigError: ``test_size`` is neither a share nor a number.
        DataError: One of the sides would have no document with any tokens.
    """
    if not test_size > 0 or (test_size > 1 and test_size != int(test_size)):
        raise ConfigError(
            [
                f"{flag} is {test_size}; expected a share between 0 and 1 ({flag} 0.2) or "
                f"a number of records ({flag} 100)"
            ]
        )
    records, record = np.unique(documents["record"], return_inverse=True)
    group = _groups(len(records), record, documents)
    # Groups in the order of their first record; how many records each has.
    _, group, sizes = np.unique(group, return_inverse=True, return_counts=True)
    wanted = round(test_size * len(records)) if test_size < 1 else int(test_size)
    order = np.argsort(
        philox("split" if flag == "--test-size" else flag, seed).random_raw(len(sizes)),
        kind="stable",
    )
    chosen = np.zeros(len(sizes), np.bool_)
    chosen[order[_choose_groups(sizes[order], wanted)]] = True
    result: NDArray[np.bool_] = chosen[group][record]
    _check_sides(
        result,
        documents["tokens"] > 0,
        len(records),
        len(sizes),
        size=f"{flag} {test_size:g}",
        advice=advice,
    )
    return result


def _groups(num_records: int, record: Ints, documents: NDArray[np.void]) -> Ints:
    """Label each record with the smallest record that equal texts tie it to, ``[records] int64``.

    Labels spread along equal texts and are followed to their roots, so that even a long chain of
    pairs takes a number of rounds that grows with its logarithm.
    """
    label = np.arange(num_records)
    worded = documents["words"] > 0
    record = record[worded]
    text = _number_texts(documents["hash"][worded])
    repeated = np.bincount(text)[text] > 1 if len(text) else np.zeros(0, np.bool_)
    record, text = record[repeated], text[repeated]
    while len(record):
        smallest = np.full(int(text.max()) + 1, num_records)
        np.minimum.at(smallest, text, label[record])
        offered = smallest[text]
        following = label.copy()
        np.minimum.at(following, record, offered)
        np.minimum.at(following, label[record], offered)
        while not np.array_equal(following, following[following]):
            following = following[following]
        if np.array_equal(following, label):
            break
        label = following
    return label


def _number_texts(hashes: NDArray[np.uint64]) -> Ints:
    """Number the distinct hashes; several times as fast as ``np.unique`` over rows."""
    order = np.lexsort((hashes[:, 1], hashes[:, 0]))
    ordered = hashes[order]
    differs = np.any(ordered[1:] != ordered[:-1], axis=1)
    numbers = np.empty(len(hashes), np.int64)
    numbers[order] = np.concatenate([[0], np.cumsum(differs)])[: len(hashes)]
    return numbers


def _choose_groups(sizes: Ints, wanted: int) -> Ints:
    """Return the places of groups that fit, in order, passing over those that are too large."""
    taken = []
    position = 0
    while wanted > 0:
        fitting = np.flatnonzero(np.cumsum(sizes[position:]) <= wanted)
        if len(fitting):
            taken.append(position + fitting)
            wanted -= int(sizes[position + fitting].sum())
            position += len(fitting)
        smaller = np.flatnonzero(sizes[position:] <= wanted)
        if not len(smaller):
            break
        position += int(smaller[0])
    return np.concatenate(taken) if taken else np.empty(0, np.int64)


def _check_sides(
    held: NDArray[np.bool_],
    non_empty: NDArray[np.bool_],
    num_records: int,
    num_groups: int,
    *,
    size: str,
    advice: str,
) -> None:
    """Raise an error unless both sides have a text."""
    flag = size.partition(" ")[0]
    for side, members in (("held-out", held), ("training", ~held)):
        if np.any(members & non_empty):
            continue
        if num_groups < 2:
            remedy = f"{advice}, or " if advice else ""
            remedy += "hold out other data instead: --eval-data FILE"
        elif side == "held-out":
            remedy = f"type a larger {flag}, or hold out other data: --eval-data FILE"
        else:
            remedy = f"type a smaller one, such as {flag} 0.2"
        raise DataError(
            f"{size} leaves no {side} document with any text: there are "
            f"{num_records:,} records in {num_groups:,} groups without a text in common; {remedy}"
        )
