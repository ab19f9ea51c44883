"""The division of a job's documents into training and held-out parts with no text in common."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nextfill.config import DataConfig
from nextfill.core.amounts import amount, verb
from nextfill.core.errors import ConfigError, DataError
from nextfill.data.packing.order import philox
from nextfill.data.parts import Ints, PreparedData
from nextfill.data.store.document_fields import Fields, marked_fields
from nextfill.data.store.store_cache import shard_sources
from nextfill.data.store.text_hashes import number_texts, repeated

DEFAULT_TEST_SIZE = 0.1
DEFAULT_VALIDATION_SIZE = 0.05


def split_validation(prepared: PreparedData, size: float | None, seed: int) -> PreparedData:
    """Take a validation part off the training part, by record and with no text on both sides.

    Where the ends of documents are held out, a share of the training part is what comes before
    these. ``size`` is None where nobody typed it: then it is one record at least. General text that
    is mixed in is not among it.
    """
    rows, before_ends = prepared.train.fields, prepared.before_ends
    share = DEFAULT_VALIDATION_SIZE if size is None else size
    if share < 1 and len(before_ends):
        apart = np.isin(prepared.train.documents, before_ends)
    else:
        own = np.ones(len(rows), np.bool_)
        if prepared.last_is_general:
            shard = prepared.train.store.shard_of(prepared.train.documents)
            own = shard_sources(prepared.train.store)[shard] < len(prepared.sources) - 1
        some = marked_fields(rows, own)
        is_none = size is None and _number_records(some["record"])[0] * share < 1
        apart = own.copy()
        apart[own] = held_out(some, 1 if is_none else share, seed, flag="--validation-size")
    train, validation = prepared.train.divide(apart)
    return replace(prepared, train=train, validation=validation)


def split_off(rows: Fields, data: DataConfig, seed: int, *, advice: str = "") -> NDArray[np.bool_]:
    """Mark the held-out documents of a source as its settings say, ``[documents] bool``."""
    if data.test_size is not None:
        return held_out(rows, data.test_size, seed, advice=advice)
    # Of a few records, a tenth may be none: nobody typed that size, so it is one of them.
    worded = rows["words"] > 0
    if not worded.any():  # nothing but white space: the choice is among all of it
        worded[:] = True
    if _number_records(rows["record"][worded])[0] * DEFAULT_TEST_SIZE >= 1:
        return held_out(rows, DEFAULT_TEST_SIZE, seed, advice=advice, is_typed=False)
    some = marked_fields(rows, worded)
    worded[worded] = held_out(some, 1, seed, advice=advice, is_typed=False)
    return worded


def held_out(
    documents: Fields,
    test_size: float,
    seed: int,
    *,
    flag: str = "--test-size",
    advice: str = "",
    is_typed: bool = True,
) -> NDArray[np.bool_]:
    """Mark the held-out documents.

    All documents of a record stay on one side, and so do identical texts: the choice is among
    groups of records that share a text, in an order that the seed gives. A text without words
    joins nothing, else every record with an empty field would be one group.

    Args:
        documents: The fields of the documents, ``[documents]``.
        test_size: The share of the records to hold out, between 0 and 1, or their number.
        seed: Decides which ones, together with the flag.
        flag: The flag of the size, for messages; another one draws other records.
        advice: A further remedy for messages about too few records.
        is_typed: Whether someone chose the size; else the smallest group is held out where all are
            larger, as where each text is there several times.

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
    num_records, record = _number_records(documents["record"])
    # Groups in the order of their first record; how many records each has.
    group = None
    if (label := _groups(num_records, record, documents)) is not None:
        place = np.cumsum(label == np.arange(num_records)) - 1
        group = place[label]
        sizes = np.bincount(group)
    else:
        sizes = np.ones(num_records, np.int64)
    wanted = round(test_size * num_records) if test_size < 1 else int(test_size)
    order = np.argsort(
        philox("split" if flag == "--test-size" else flag, seed).random_raw(len(sizes)),
        kind="stable",
    )
    chosen = np.zeros(len(sizes), np.bool_)
    chosen[order[_choose_groups(sizes[order], wanted)]] = True
    if not is_typed and not chosen.any():
        chosen[order[np.argmin(sizes[order])]] = True
    result: NDArray[np.bool_] = (chosen if group is None else chosen[group])[record]
    is_one_text = len(sizes) == 1 and bool((documents["hash"] == documents["hash"][0]).all())
    _check_sides(
        result,
        documents["tokens"] > 0,
        num_records,
        len(sizes),
        is_one_text=is_one_text,
        size=f"{flag} {test_size:g}",
        advice=advice,
    )
    return result


def _number_records(record: Ints) -> tuple[int, NDArray[np.integer[Any]]]:
    """Return how many different records there are, and each document's place among them."""
    if len(record) and (record[1:] < record[:-1]).any():
        records, place = np.unique(record, return_inverse=True)
        return len(records), place
    new = np.zeros(len(record), np.bool_)
    np.not_equal(record[1:], record[:-1], out=new[1:])
    place = np.cumsum(new, dtype=np.int32 if len(new) < 1 << 31 else np.int64)
    return int(place[-1]) + 1 if len(place) else 0, place


def _groups(num_records: int, record: NDArray[np.integer[Any]], documents: Fields) -> Ints | None:
    """Label each record with the smallest record that equal texts tie it to, ``[records] int64``.

    Labels spread along equal texts and are followed to their roots, so that even a long chain of
    pairs takes a number of rounds that grows with its logarithm. None where no text is there twice.
    """
    is_several = repeated(documents)
    if is_several.any():
        is_several &= documents["words"] > 0
    several = np.flatnonzero(is_several)
    text = number_texts(marked_fields(documents, is_several)["hash"])
    tied = np.bincount(text)[text] > 1 if len(text) else np.zeros(0, np.bool_)
    record, text = record[several[tied]], text[tied]
    if not len(record):
        return None
    label = np.arange(num_records)
    while True:
        smallest = np.full(int(text.max()) + 1, num_records)
        np.minimum.at(smallest, text, label[record])
        offered = smallest[text]
        following = label.copy()
        np.minimum.at(following, record, offered)
        np.minimum.at(following, label[record], offered)
        while not np.array_equal(following, following[following]):
            following = following[following]
        if np.array_equal(following, label):
            return label
        label = following


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
    is_one_text: bool,
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
        number = amount(num_records, "record")
        if num_groups > 1 or num_records == 1:
            groups = f" in {amount(num_groups, 'group')} without a text in common"
            found = f"there {verb(num_records, 'is', 'are')} {number}"
            found += groups if num_groups > 1 else ""
        elif is_one_text:
            found = f"all {number} are the same text, which is not both trained on and held out"
        else:
            found = f"each of {number} has a text in common with another, and they stay together"
        raise DataError(f"{size} leaves no {side} document with any text: {found}; {remedy}")
