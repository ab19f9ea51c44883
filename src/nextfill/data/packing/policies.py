"""The packing policies: how the documents of one unit are cut and put into blocks.

A unit is a shard, or a window of its documents. Only lengths are looked at.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Pieces:
    """Segments of one packing unit, sorted by block: the arrays are ``[segments] int64``.

    Args:
        row: Document of each segment, from 0 in the unit.
        start: First position in the document.
        length: Positions.
        block: Block of each segment, from 0 in the unit; no block is left out.
        dropped: Positions in no segment.
    """

    row: Ints
    start: Ints
    length: Ints
    block: Ints
    dropped: int = 0


def count_up(counts: Ints) -> Ints:
    """Return 0, 1, ... up to each count in turn, ``[sum of counts]``.

    Args:
        counts: How often to count, ``[n] int64``.

    Returns:
        The numbers, int64.

    Example:
        >>> count_up(np.array([2, 0, 3])).tolist()
        [0, 1, 0, 1, 2]
    """
    ends = np.cumsum(counts)
    total = int(ends[-1]) if len(ends) else 0
    return np.arange(total) - np.repeat(ends - counts, counts)


def concat(lengths: Ints, size: int, whole_blocks: bool = False) -> Pieces:
    """Cut the documents, one after the other, every ``size`` tokens.

    Args:
        lengths: Framed tokens of each document, ``[documents] int64``.
        size: Tokens of a block.
        whole_blocks: Drop what is left after the last whole block, unless there is none.

    Returns:
        The segments.
    """
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if len(ends) else 0
    kept = total // size * size if whole_blocks and total >= size else total
    cuts = np.concatenate([(ends - lengths)[lengths > 0], np.arange(0, kept, size)])
    cuts = np.sort(cuts[cuts < kept], kind="stable")  # merges two sorted runs
    cuts = cuts[np.diff(cuts, prepend=-1) > 0]
    row = np.searchsorted(ends, cuts, side="right")
    return Pieces(
        row=row,
        start=cuts - (ends - lengths)[row],
        length=np.diff(cuts, append=kept),
        block=cuts // size,
        dropped=total - kept,
    )


def _pad(lengths: Ints, size: int) -> Pieces:
    """Give every document its own blocks."""
    pieces = -(-lengths // size)
    row = np.repeat(np.arange(len(lengths)), pieces)
    start = count_up(pieces) * size
    return Pieces(row, start, np.minimum(lengths[row] - start, size), np.arange(len(row)))


def _best_fit(lengths: Ints, size: int) -> Pieces:
    """Full blocks of long documents, then what remains by best-fit decreasing."""
    full = lengths // size
    row = np.repeat(np.arange(len(lengths)), full)
    start = count_up(full) * size
    rest = lengths - full * size
    loose = np.flatnonzero(rest)
    loose = loose[np.argsort(-rest[loose], kind="stable")]
    block = np.array(_place(rest[loose].tolist(), size), np.int64) + len(row)
    order = np.argsort(block, kind="stable")
    loose, block = loose[order], block[order]
    return Pieces(
        row=np.concatenate([row, loose]),
        start=np.concatenate([start, full[loose] * size]),
        length=np.concatenate([np.full(len(row), size, np.int64), rest[loose]]),
        block=np.concatenate([np.arange(len(row)), block]),
    )


def _place(sizes: list[int], capacity: int) -> list[int]:
    """Return the block of each item: the open block that it leaves fullest, else a new one.

    Bit ``c`` of ``room`` says that some open block has ``c`` positions left: one shift and one
    bit trick find the tightest, so that a million items take about a second.
    """
    waiting: list[list[int]] = [[] for _ in range(capacity + 1)]  # open blocks by what is left
    room = 0
    num_blocks = 0
    placed = []
    for size in sizes:
        fitting = room >> size
        if fitting:
            left = size + (fitting & -fitting).bit_length() - 1
            block = waiting[left].pop()
            if not waiting[left]:
                room ^= 1 << left
        else:
            left, block = capacity, num_blocks
            num_blocks += 1
        left -= size
        if left:
            waiting[left].append(block)
            room |= 1 << left
        placed.append(block)
    return placed


Packer = Callable[[Ints, int], Pieces]

POLICIES: dict[str, Packer] = {
    "concat": concat,
    "best-fit": _best_fit,
    "pad": _pad,
}
