"""Divide documents into training and held-out ones, so that no text stands on both sides."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nextfill.core.errors import ConfigError, DataError
from nextfill.data.packing.order import philox

Ints = NDArray[np.int64]


def held_out(
    documents: NDArray[np.void],
    test_size: float,
    seed: int,
    *,
    flag: str = "--test-size",
    advice: str = "",
) -> NDArray[np.bool_]:
    """Choose the held-out documents.

    All documents of a record stay on one side, and so do identical texts: what is chosen are
    groups of records that share a text, in an order that the seed gives. A text without words
    joins nothing, else every record with an empty field would be one group.

    Args:
        documents: Rows of ``store.DOCUMENT``, ``[documents]``.
        test_size: The share of the records to hold out, between 0 and 1, or their number.
        seed: Decides which ones, together with the flag.
        flag: What asks for them, for messages; another draws others.
        advice: What else messages say to do where there are too few records.

    Returns:
        True for held-out documents, ``[documents] bool``. The number of held-out records is what
        was asked for, less at most the surplus of one group.

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
    chosen[order[_fill(sizes[order], wanted)]] = True
    result: NDArray[np.bool_] = chosen[group][record]
    asked = f"{flag} {test_size:g}"
    worded = documents["tokens"] > 0
    _check_sides(result, worded, len(records), len(sizes), asked=asked, more=advice)
    return result


def _groups(num_records: int, record: Ints, documents: NDArray[np.void]) -> Ints:
    """Label each record with the smallest record that it is tied to by equal texts.

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
    """Number the distinct hashes; ``np.unique`` over rows takes several times as long."""
    order = np.lexsort((hashes[:, 1], hashes[:, 0]))
    ordered = hashes[order]
    differs = np.any(ordered[1:] != ordered[:-1], axis=1)
    numbers = np.empty(len(hashes), np.int64)
    numbers[order] = np.concatenate([[0], np.cumsum(differs)])[: len(hashes)]
    return numbers


def _fill(sizes: Ints, wanted: int) -> Ints:
    """Take groups in order while they fit, passing over those that are too large."""
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
    asked: str,
    more: str,
) -> None:
    flag = asked.partition(" ")[0]
    for side, members in (("held-out", held), ("training", ~held)):
        if np.any(members & non_empty):
            continue
        if num_groups < 2:
            advice = f"{more}, or " if more else ""
            advice += "hold out other data instead: --eval-data FILE"
        elif side == "held-out":
            advice = f"type a larger {flag}, or hold out other data: --eval-data FILE"
        else:
            advice = f"type a smaller one, such as {flag} 0.2"
        raise DataError(
            f"{asked} leaves no {side} document with any text: there are "
            f"{num_records:,} records in {num_groups:,} groups without a text in common; {advice}"
        )
